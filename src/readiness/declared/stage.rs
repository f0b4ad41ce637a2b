//! A server on this machine that answers as a test says, for the kinds that look at heads. Compiled for tests only.
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// Gone when dropped.
pub struct Stage {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Stage {
    /// `answer` is given the head of each request, header names in lower case, and says what is sent back.
    pub async fn serving(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n")
                        && stream.read_buf(&mut head).await.is_ok_and(|n| n > 0)
                    {}
                    let head = String::from_utf8_lossy(&head).into_owned();
                    let _ = stream.write_all(answer(&head).as_bytes()).await;
                });
            }
        });
        Self { address, task }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A reference to a file of this name that holds this.
pub fn path_of(home: &Path, name: &str, text: &str) -> String {
    let file = home.join(name);
    std::fs::write(&file, text).expect("written");
    format!("file:{}", file.display())
}
