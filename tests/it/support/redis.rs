//! A real Redis server on a free port that keeps nothing.
use super::{eventually, free_port};
use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
};

pub struct Redis {
    port: u16,
    password: Option<&'static str>,
    server: Option<Child>,
}

impl Redis {
    pub fn start(password: Option<&'static str>) -> Self {
        let mut redis = Self { port: free_port(), password, server: None };
        redis.resume();
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }

    /// Starts it again on the same port; returns when it accepts.
    pub fn resume(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp", "--port"]);
        command.arg(self.port.to_string());
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        let server = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap_or_else(|error| {
            panic!(
                "cannot run redis-server ({error}): `.ci/test` installs it, or `apt-get install redis-server`"
            )
        });
        self.server = Some(server);
        let up = eventually(|| TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        assert!(up, "redis-server does not listen on {}", self.port);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
