//! follow::<Followed>: asks again from the last cursor until the daemon says it is settled.
use super::{CliError, Ctl};
use crate::protocol::Followed;

pub async fn follow<E: Followed>(
    ctl: &Ctl,
    mut request: E::Request,
    mut show: impl FnMut(&E::Reply) -> Result<(), CliError>,
) -> Result<E::Reply, CliError> {
    loop {
        let reply = ctl.client.call::<E>(&request).await?;
        show(&reply)?;
        if E::settled(&reply) {
            return Ok(reply);
        }
        E::after(&mut request, E::cursor(&reply));
    }
}
