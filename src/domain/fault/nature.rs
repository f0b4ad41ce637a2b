//! The taxonomy: who can mend a failure (kind), what it is about (category), how bad it is, and whether trying again
//! can help. The kind says the rest unless whoever fails knows better.
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// What sort of failure it is, and so who can mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The request itself is wrong: mend the command line.
    Usage,
    /// The configuration is wrong: mend the file.
    Config,
    /// What the caller showed proves nothing: a key or a session that is wrong, over or revoked.
    Unauthenticated,
    /// The caller may not do this.
    Forbidden,
    /// A policy refuses it, whoever asks.
    Refused,
    NotFound,
    /// It collides with something that exists or is under way.
    Conflict,
    /// A limit is reached: try later.
    Busy,
    /// The wait ended before the work did.
    Timeout,
    /// The daemon, or something it depends on, cannot be reached.
    Unavailable,
    /// A defect of ours, or a machine that fails under us.
    Internal,
}

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultCategory {
    Database,
    /// How agentd is asked: endpoints, and its own work behind them.
    Api,
    Validation,
    Authentication,
    Authorization,
    RateLimit,
    Timeout,
    Network,
    /// Something that agentd does not run.
    ExternalService,
    /// Memory, disk, ports, processes, threads.
    Resource,
    Configuration,
    Agent,
    /// A rule says no.
    BusinessLogic,
}

/// How bad it is. A caller's own mistake is low: recorded, and nobody's alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultSeverity {
    Low,
    Medium,
    High,
    Critical,
}

/// What is to be known of a failure beside its sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nature {
    pub category: FaultCategory,
    pub severity: FaultSeverity,
    /// Can the very same, tried again, succeed?
    pub retryable: bool,
}

impl Nature {
    /// What a kind says by itself.
    pub fn of(kind: FaultKind) -> Self {
        use {FaultCategory as C, FaultKind as K, FaultSeverity as S};
        let (category, severity, retryable) = match kind {
            K::Usage => (C::Validation, S::Low, false),
            K::Config => (C::Configuration, S::High, false),
            K::Unauthenticated => (C::Authentication, S::Medium, false),
            K::Forbidden => (C::Authorization, S::Medium, false),
            K::Refused | K::Conflict => (C::BusinessLogic, S::Low, false),
            K::NotFound => (C::Api, S::Low, false),
            K::Busy => (C::RateLimit, S::Medium, true),
            K::Timeout => (C::Timeout, S::Medium, true),
            K::Unavailable => (C::Network, S::Medium, true),
            K::Internal => (C::Resource, S::High, false),
        };
        Self { category, severity, retryable }
    }
}

impl FaultKind {
    pub const ALL: &'static [Self] = &[
        Self::Usage,
        Self::Config,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Refused,
        Self::NotFound,
        Self::Conflict,
        Self::Busy,
        Self::Timeout,
        Self::Unavailable,
        Self::Internal,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Config => "config",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }
}

impl FaultCategory {
    pub const ALL: &'static [Self] = &[
        Self::Database,
        Self::Api,
        Self::Validation,
        Self::Authentication,
        Self::Authorization,
        Self::RateLimit,
        Self::Timeout,
        Self::Network,
        Self::ExternalService,
        Self::Resource,
        Self::Configuration,
        Self::Agent,
        Self::BusinessLogic,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Api => "api",
            Self::Validation => "validation",
            Self::Authentication => "authentication",
            Self::Authorization => "authorization",
            Self::RateLimit => "rate-limit",
            Self::Timeout => "timeout",
            Self::Network => "network",
            Self::ExternalService => "external-service",
            Self::Resource => "resource",
            Self::Configuration => "configuration",
            Self::Agent => "agent",
            Self::BusinessLogic => "business-logic",
        }
    }
}

impl FaultSeverity {
    pub const ALL: &'static [Self] = &[Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for FaultCategory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for FaultSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FaultCategory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        known(Self::ALL, Self::as_str, text)
    }
}

impl FromStr for FaultSeverity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        known(Self::ALL, Self::as_str, text)
    }
}

/// The one of that name, or all the names there are.
fn known<T: Copy>(all: &[T], name: fn(T) -> &'static str, text: &str) -> Result<T, String> {
    all.iter().copied().find(|one| name(*one) == text).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
        format!("not one of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_serde_writes_and_read_back() {
        for category in FaultCategory::ALL {
            assert_eq!(serde_json::to_value(category).expect("a word"), category.as_str());
            assert_eq!(category.as_str().parse(), Ok(*category));
        }
        for severity in FaultSeverity::ALL {
            assert_eq!(serde_json::to_value(severity).expect("a word"), severity.as_str());
            assert_eq!(severity.as_str().parse(), Ok(*severity));
        }
        assert!("Database".parse::<FaultCategory>().is_err_and(|why| why.contains("business-logic")));
    }

    #[test]
    fn a_callers_mistake_is_low_and_never_worth_another_try() {
        use FaultKind as K;
        for kind in [K::Usage, K::NotFound, K::Conflict, K::Refused] {
            assert_eq!(Nature::of(kind).severity, FaultSeverity::Low, "{kind:?}");
            assert!(!Nature::of(kind).retryable, "{kind:?}");
        }
        for kind in [K::Busy, K::Timeout, K::Unavailable] {
            assert!(Nature::of(kind).retryable, "{kind:?}");
        }
        assert_eq!(serde_json::to_value(K::NotFound).expect("a word"), K::NotFound.as_str());
    }
}
