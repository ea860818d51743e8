//! The TCP ports: bytes go back as they came, on one of them after a greeting
//! that the server sends first, as MySQL and SMTP servers do.

use std::io;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::serve::{Shutdown, stopped};

pub(super) async fn serve(listener: TcpListener, greeting: Option<String>, mut shutdown: Shutdown) {
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            () = stopped(&mut shutdown) => return,
        };
        tokio::spawn(echo(stream, greeting.clone()));
    }
}

async fn echo(mut stream: TcpStream, greeting: Option<String>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(greeting) = greeting {
        stream.write_all(greeting.as_bytes()).await?;
    }
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return stream.shutdown().await,
            length => stream.write_all(&buffer[..length]).await?,
        }
    }
}
