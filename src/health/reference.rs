//! A value that is literal or kept elsewhere (`env:`, `file:`, `exec:`), looked up at the first look and again after
//! a failure, since secrets are replaced while we run.
use super::Miss;
use crate::config::{check_reference, is_reference, resolve};
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

    pub async fn get(&self) -> Result<SecretString, Miss> {
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let found = resolve(&self.text).await.map_err(|fault| Miss::Blind(fault.message))?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    pub fn forget(&self) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
