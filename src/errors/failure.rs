//! One failure, with what was going on when it happened.
use crate::domain::{AgentName, CorrelationId, Fault, InstanceId};

/// What failed, and where. Nothing of it needs to be free of secrets yet.
#[derive(Clone, Debug)]
pub struct Failure {
    /// `agents/stop`, `agent.crash`, `probe`, `prune`: what was being done.
    pub operation: String,
    pub agent: Option<AgentName>,
    pub instance: Option<InstanceId>,
    /// Who asked.
    pub client: Option<String>,
    /// 0 where nobody asked.
    pub correlation: CorrelationId,
    pub fault: Fault,
    /// What else helps to understand it; one line.
    pub context: String,
}

impl Failure {
    pub fn new(operation: impl Into<String>, fault: Fault) -> Self {
        Self {
            operation: operation.into(),
            agent: None,
            instance: None,
            client: None,
            correlation: CorrelationId::default(),
            fault,
            context: String::new(),
        }
    }

    #[must_use]
    pub fn of(mut self, instance: &InstanceId) -> Self {
        self.agent = Some(instance.agent.clone());
        self.instance = Some(instance.clone());
        self
    }

    #[must_use]
    pub fn of_agent(mut self, agent: Option<AgentName>) -> Self {
        self.agent = agent;
        self
    }

    /// Who asked, in which request.
    #[must_use]
    pub fn asked_by(mut self, client: impl ToString, correlation: CorrelationId) -> Self {
        self.client = Some(client.to_string());
        self.correlation = correlation;
        self
    }

    #[must_use]
    pub fn context(mut self, context: impl Into<String>) -> Self {
        self.context = context.into();
        self
    }
}
