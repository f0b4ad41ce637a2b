//! What a role of a PostgreSQL server may do, and which migrations were applied: asked, never changed.
use futures_util::{future::Either, pin_mut};
use tokio_postgres::{Client, Error, SimpleQueryMessage};

/// A line for each thing that an application should not find: rights that it does not need, and a migration
/// (`[table, column, head]`) that was not applied. `owned` are the tables that the role may own; none named, it may own
/// any. The error never holds the URL.
pub async fn inspect_postgres(
    url: &str,
    owned: &[&str],
    migration: Option<[&str; 3]>,
) -> Result<Vec<String>, String> {
    let mut config: tokio_postgres::Config =
        url.parse().map_err(|_| "the url is not a PostgreSQL connection string".to_owned())?;
    if config.get_application_name().is_none() {
        config.application_name("agentd");
    }
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.map_err(said)?;
    let conversation = converse(&client, owned, migration);
    // One task drives both, so nothing outlives a caller that gives up.
    pin_mut!(connection, conversation);
    match futures_util::future::select(connection, conversation).await {
        Either::Left((Err(error), _)) => Err(said(error)),
        Either::Left((Ok(()), _)) => Err("the server closed the connection".into()),
        Either::Right((answer, _)) => answer.map_err(said),
    }
}

const EXCESS: &str = "
    WITH me AS (SELECT * FROM pg_roles WHERE rolname = current_user)
    SELECT 'the role ' || which.says FROM me, LATERAL (VALUES
        (rolsuper, 'is a superuser'), (rolcreatedb, 'may create databases'),
        (rolcreaterole, 'may create roles'), (rolreplication, 'may replicate the server'),
        (rolbypassrls, 'passes over row security')) AS which (has, says)
    WHERE which.has
    UNION ALL
    SELECT 'the role is a member of ' || role.rolname FROM me, pg_roles AS role
    WHERE NOT me.rolsuper AND role.oid <> me.oid AND pg_has_role(me.oid, role.oid, 'MEMBER')
        AND (role.rolsuper OR role.rolcreatedb OR role.rolcreaterole OR role.rolname IN
            ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files'))
    UNION ALL
    SELECT 'the role owns ' || it.oid::regclass::text FROM me, pg_class AS it
    WHERE it.relowner = me.oid AND it.relkind IN ('r', 'p') AND it.relpersistence <> 't'
        AND NOT me.rolsuper AND cardinality($1::text[]) > 0
        AND NOT EXISTS (SELECT FROM unnest($1::text[]) AS t WHERE to_regclass(t)::oid = it.oid)";

async fn converse(
    client: &Client,
    owned: &[&str],
    migration: Option<[&str; 3]>,
) -> Result<Vec<String>, Error> {
    client.batch_execute("SET default_transaction_read_only = on; SET statement_timeout = '30s'").await?;
    let rows = client.query(EXCESS, &[&owned]).await?;
    let mut excess = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, Error>>()?;
    if let Some([table, column, head]) = migration {
        // The server quotes what it is given as names; there is no text without the table.
        let quoted = "SELECT format('SELECT %I::text FROM ', $2::text) || to_regclass($1::text)::text";
        let text: Option<String> = client.query_one(quoted, &[&table, &column]).await?.try_get(0)?;
        let applied = match text {
            Some(text) => cells(client, &text).await?,
            None => Vec::new(),
        };
        if !applied.iter().any(|applied| applied == head) {
            let newest =
                applied.iter().max().map_or_else(|| "nothing".into(), |newest| format!("{newest:?}"));
            excess.push(format!("migration {head} was not applied: {table}.{column} holds {newest}"));
        }
    }
    Ok(excess)
}

/// The first cell of each row.
async fn cells(client: &Client, query: &str) -> Result<Vec<String>, Error> {
    let messages = client.simple_query(query).await?;
    let cell = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    Ok(messages.iter().filter_map(cell).collect())
}

/// What the server said, or why it could not be asked.
fn said(error: Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{} ({})", said.message(), said.code().code()),
        None => error.to_string(),
    }
}
