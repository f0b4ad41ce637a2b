//! The door as readiness sees it: every served route, and what its real gate says to a caller of some role.
use super::Route;
use crate::{
    domain::{Caller, Identity, Role},
    readiness::{Gate, GateAnswer},
};
use futures_util::future::BoxFuture;

pub struct Door {
    routes: Vec<Route>,
}

impl Door {
    pub fn new(routes: &[Route]) -> Self {
        Self { routes: routes.to_vec() }
    }
}

impl Gate for Door {
    fn ask(&self, role: Role) -> BoxFuture<'_, Vec<GateAnswer>> {
        // A uid that the kernel gives to nobody: should an answer ever be logged, it accuses no one.
        let identity = Identity { uid: u32::MAX, gid: u32::MAX, pid: None };
        let caller = Caller::by_socket(identity, role, None);
        let answers = self.routes.iter().map(|route| GateAnswer {
            path: route.path.clone(),
            needs: route.needs,
            admitted: route.admit(&caller).is_ok(),
        });
        Box::pin(std::future::ready(answers.collect()))
    }
}
