//! Sessions: login, logout, whoami, list, revoke. Both ends.
mod serve;

use super::key::minute;
use crate::{
    cli::{CliError, Credentials, Ctl, Exit, Table, confirm, forget_session, keep_session, one_line},
    domain::{Fault, FaultKind, Principal, Session},
};
use secrecy::SecretString;
use serve::{
    CloseRequest, Entry, ListRequest, OpenRequest, RevokeRequest, SessionClose, SessionList, SessionOpen,
    SessionRevoke, SessionWhoami, WhoamiRequest,
};

pub use serve::routes;

/// Sessions: who is logged in, and who no longer
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand, Debug)]
enum Action {
    /// List the sessions that are open
    #[command(visible_alias = "ls")]
    List {
        /// Those that are over too
        #[arg(long)]
        all: bool,
    },
    /// End a session, or all of a principal, now
    Revoke {
        /// A session's id, or a principal such as user:1000 or service:billing
        #[arg(value_name = "SESSION|PRINCIPAL")]
        whose: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(clap::Args, Debug)]
pub struct WhoamiArgs {}

#[derive(clap::Args, Debug)]
pub struct LoginArgs {
    /// Read the key from standard input
    #[arg(long)]
    key_stdin: bool,
}

#[derive(clap::Args, Debug)]
pub struct LogoutArgs {}

pub async fn run(args: Args, ctl: &Ctl) -> Result<Exit, CliError> {
    match args.action {
        Action::List { all } => {
            let list = ctl.client.call::<SessionList>(&ListRequest { all }).await?;
            ctl.output.print(&ctl.ui, &list, |wide| table(ctl, &list.sessions, all, wide))?;
        }
        Action::Revoke { whose, yes } => {
            confirm(&format!("end {} at once", one_line(&whose)), yes)?;
            let request = match whose.parse::<Principal>() {
                Ok(principal) => RevokeRequest { id: None, principal: Some(principal) },
                Err(_) => RevokeRequest { id: Some(whose), principal: None },
            };
            let revoked = ctl.client.call::<SessionRevoke>(&request).await?;
            ctl.output.print(&ctl.ui, &revoked, |_| match revoked.ended {
                1 => "1 session is ended\n".into(),
                ended => format!("{ended} sessions are ended\n"),
            })?;
        }
    }
    Ok(Exit::Ok)
}

pub async fn whoami(_args: WhoamiArgs, ctl: &Ctl) -> Result<Exit, CliError> {
    let me = ctl.client.call::<SessionWhoami>(&WhoamiRequest {}).await?;
    ctl.output.print(&ctl.ui, &me, |_| {
        let permissions: Vec<_> = me.permissions.iter().map(|permission| permission.as_str()).collect();
        let mut lines = vec![format!("{} by {}, {}", me.principal, me.means, me.role)];
        lines.push(format!("may  {}", permissions.join(", ")));
        lines.extend(me.application_role.as_ref().map(|role| format!("in the applications  {role}")));
        lines.iter().map(|line| one_line(line) + "\n").collect()
    })?;
    Ok(Exit::Ok)
}

/// From a key where one is given, else as the user that the kernel sees. Never from a session.
pub async fn login(args: LoginArgs, ctl: &Ctl) -> Result<Exit, CliError> {
    let credentials = if args.key_stdin {
        let token = crate::cli::read_token(std::io::stdin())
            .map_err(|error| Fault::usage(format!("cannot read a key from standard input: {error}")))?;
        Credentials::Given { token }
    } else {
        Credentials::Key { key_file: ctl.key_file.clone() }
    };
    let client = ctl.client.showing(credentials);
    let opened = client.call::<SessionOpen>(&OpenRequest {}).await?;
    let Session { id, principal, role, expires_at, .. } = &opened.session;
    let file = keep_session(client.socket(), &SecretString::from(opened.token), *expires_at)?;
    ctl.ui.note(&one_line(&format!(
        "session {id} of {principal} as {role}, until {} at the latest; kept in {}",
        minute(*expires_at),
        file.display()
    )));
    ctl.output.print(&ctl.ui, &opened.session, |_| String::new())?;
    Ok(Exit::Ok)
}

pub async fn logout(_args: LogoutArgs, ctl: &Ctl) -> Result<Exit, CliError> {
    let socket = ctl.client.socket().to_owned();
    let credentials = Credentials::Session { socket: socket.clone() };
    if matches!(credentials.shown(), Ok(None)) {
        return Err(Fault::not_found("cannot log out: no session is kept for this daemon")
            .hint("`agentctl auth session list` shows who is logged in")
            .into());
    }
    match ctl.client.showing(credentials).call::<SessionClose>(&CloseRequest {}).await {
        Ok(closed) => {
            forget_session(&socket)?;
            ctl.ui.note(&one_line(&format!("session {} is ended and forgotten", closed.id)));
            ctl.output.print(&ctl.ui, &closed, |_| String::new())?;
        }
        Err(CliError::Fault(fault)) if fault.kind == FaultKind::Unauthenticated => {
            forget_session(&socket)?;
            ctl.ui.note("the session was over already; it is forgotten");
        }
        // A file that cannot be used keeps nobody logged in; one that could not be shown may.
        Err(CliError::Fault(fault)) if fault.kind == FaultKind::Usage => {
            forget_session(&socket)?;
            ctl.ui.note(&format!(
                "{fault}: it is removed; `agentctl auth session list` shows what is still open"
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(Exit::Ok)
}

fn table(ctl: &Ctl, sessions: &[Entry], all: bool, wide: bool) -> String {
    if sessions.is_empty() {
        return if all { "no session is kept\n" } else { "no session is open\n" }.into();
    }
    let mut head = vec!["ID", "PRINCIPAL", "ROLE", "STANDING", "FROM", "LAST USED", "ENDS"];
    head.extend(wide.then_some(["OPENED", "UID"]).into_iter().flatten());
    let mut table = Table::new(&head).painted(3, &ctl.ui, |word| match word {
        "in force" => Some("32"),
        _ => Some("2"),
    });
    for Entry { session, holds } in sessions {
        let from = session.key.as_ref().map_or_else(|| "socket".into(), |key| format!("key {key}"));
        let mut row = vec![
            session.id.clone(),
            session.principal.to_string(),
            session.role.to_string(),
            holds.as_str().into(),
            from,
            minute(session.last_used_at),
            minute(session.ended_at.unwrap_or(session.expires_at)),
        ];
        if wide {
            row.extend([minute(session.opened_at), session.uid.to_string()]);
        }
        table.row(row);
    }
    table.render(ctl.ui.width().filter(|_| !wide))
}
