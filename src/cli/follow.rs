//! follow::<Followed>: asks again from the last cursor until the daemon says it is settled.
use super::{CliError, Ctl};
use crate::protocol::Followed;
use std::time::{Duration, Instant};

/// Nothing new, said at once: the daemon is ending. It is asked again, but not without pause.
const AT_ONCE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(100);

pub async fn follow<E: Followed>(
    ctl: &Ctl,
    mut request: E::Request,
    mut show: impl FnMut(&E::Reply) -> Result<(), CliError>,
) -> Result<E::Reply, CliError> {
    let mut known = None;
    loop {
        let asked = Instant::now();
        let reply = ctl.client.call::<E>(&request).await?;
        show(&reply)?;
        if E::settled(&reply) {
            return Ok(reply);
        }
        let cursor = E::cursor(&reply);
        if known.replace(cursor) == Some(cursor) && asked.elapsed() < AT_ONCE {
            tokio::time::sleep(PAUSE).await;
        }
        E::after(&mut request, cursor);
    }
}
