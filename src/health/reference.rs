//! A value that is literal or kept elsewhere (`env:`, `file:`, `exec:`), looked up at the first look and again after
//! a failure, since secrets are replaced while we run.
use secrecy::SecretString;
use std::sync::{Mutex, PoisonError};

pub struct Reference {
    text: String,
    found: Mutex<Option<SecretString>>,
}

impl Reference {
    pub fn parse(text: &str) -> Result<Self, String> {
        check_reference(text)?;
        Ok(Self { text: text.to_owned(), found: Mutex::new(None) })
    }

    /// A URL that may hold no password when it stands in the file itself. Problem and hint.
    pub fn url(text: &str) -> Result<Self, (String, &'static str)> {
        const HINT: &str = "write a reference: env:NAME, file:PATH or exec:PROGRAM ARGS";
        let reference = Self::parse(text).map_err(|why| (why, HINT))?;
        let open = reqwest::Url::parse(text).is_ok_and(|url| url.password().is_some());
        if reference.is_literal() && (open || text.contains("password=")) {
            // Without the text: that is the secret.
            return Err(("holds a password, and a secret does not stand in this file".into(), HINT));
        }
        if text.is_empty() {
            return Err(("is empty".into(), HINT));
        }
        Ok(reference)
    }

    pub fn is_literal(&self) -> bool {
        !is_reference(&self.text)
    }

    pub async fn get(&self) -> Result<SecretString, String> {
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = resolve_secret(&self.text).await.map_err(|fault| fault.message)?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    pub fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn is_reference(text: &str) -> bool {
    ["env:", "file:", "exec:"].iter().any(|scheme| text.starts_with(scheme))
}

fn check_reference(_: &str) -> Result<(), String> {
    Ok(())
}

async fn resolve_secret(text: &str) -> Result<SecretString, crate::domain::Fault> {
    let cannot = |why: String| crate::domain::Fault::internal(format!("cannot resolve a reference: {why}"));
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name).map(SecretString::from).map_err(|error| cannot(error.to_string()));
    }
    if let Some(path) = text.strip_prefix("file:") {
        let text = tokio::fs::read_to_string(path).await.map_err(|error| cannot(error.to_string()))?;
        return Ok(text.trim_end().to_owned().into());
    }
    Ok(text.to_owned().into())
}
