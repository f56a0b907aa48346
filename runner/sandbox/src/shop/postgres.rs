//! A database that speaks PostgreSQL's protocol, version 3, and the client that services use.
//!
//! In scope: connections, from the startup message to the last query. Out of scope: messages (`wire`), SQL (`sql`) and the
//! tables (`tables`).

mod sql;
mod tables;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::tables::{Outcome, Tables};
use self::wire::{SqlError, Startup};
use super::PostgresConfig;
use crate::log::Log;
use crate::net::{Net, Stream};

/// The version that clients see.
const VERSION: &str = "15.0";
/// Runs a database until `stop` is cancelled.
///
/// # Errors
/// If a setting is not valid, or its port cannot be listened on.
pub(crate) async fn postgres(net: Net, config: PostgresConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    config.check()?;
    let listener = net.listen(config.port).await?;
    log.info(format_args!("the database is up on port {}", config.port));
    let tables = Arc::new(Tables::new(&config.tables));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = clients.join_next() => {}
            (stream, _) = listener.next() => {
                let session = Session {
                    stream,
                    input: BytesMut::new(),
                    output: BytesMut::new(),
                    tables: Arc::clone(&tables),
                    work: config.work.get(),
                    net: net.clone(),
                    in_transaction: false,
                };
                let is_full = clients.len() >= config.max_connections;
                // An error means that the client is gone or broke the protocol.
                clients.spawn(async move { _ = session.serve(is_full).await });
            }
        }
    }
}

/// A client's session.
struct Session {
    stream: Stream,
    input: BytesMut,
    output: BytesMut,
    tables: Arc<Tables>,
    work: Duration,
    net: Net,
    in_transaction: bool,
}

impl Session {
    async fn serve(mut self, is_full: bool) -> io::Result<()> {
        loop {
            match wire::startup(&mut self.input).map_err(io::Error::other)? {
                // Neither TLS nor GSSAPI: the client goes on without, or leaves.
                Some(Startup::Encryption) => self.stream.write_all(b"N").await?,
                Some(Startup::Cancel) => return Ok(()),
                Some(Startup::Session) => break,
                None => self.more().await?,
            }
        }
        if is_full {
            SqlError::new("53300", "sorry, too many clients already").write("FATAL", &mut self.output);
            return self.stream.write_all_buf(&mut self.output).await;
        }
        wire::welcome(VERSION, &mut self.output);
        self.ready().await?;
        // After an error of the extended protocol, everything up to Sync is skipped.
        let mut skips = false;
        loop {
            let Some((kind, body)) = wire::message(&mut self.input).map_err(io::Error::other)? else {
                self.more().await?;
                continue;
            };
            match kind {
                b'X' => return Ok(()),
                b'Q' => {
                    let text = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(&body)).into_owned();
                    self.query(&text).await;
                    self.ready().await?;
                }
                b'S' => {
                    skips = false;
                    self.ready().await?;
                }
                b'H' => {}
                _ if skips => {}
                _ => {
                    skips = true;
                    let message = "only the simple query protocol is supported here";
                    SqlError::new("0A000", message).write("ERROR", &mut self.output);
                    self.stream.write_all_buf(&mut self.output).await?;
                }
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn ready(&mut self) -> io::Result<()> {
        wire::ready(self.in_transaction, &mut self.output);
        self.stream.write_all_buf(&mut self.output).await
    }

    /// Runs the statements of one query up to the first error.
    async fn query(&mut self, text: &str) {
        sleep(self.work.mul_f64(self.net.busy())).await;
        let statements = match sql::parse(text) {
            Ok(statements) => statements,
            Err(error) => return error.write("ERROR", &mut self.output),
        };
        if statements.is_empty() {
            wire::empty(&mut self.output);
        }
        for statement in &statements {
            match self.tables.run(statement, VERSION) {
                Ok(Outcome::Rows(columns, rows)) => wire::rows(&columns, &rows, &mut self.output),
                Ok(Outcome::Done(tag)) => {
                    match tag.as_str() {
                        "BEGIN" => self.in_transaction = true,
                        "COMMIT" | "ROLLBACK" => self.in_transaction = false,
                        _ => {}
                    }
                    wire::done(&tag, &mut self.output);
                }
                Err(error) => return error.write("ERROR", &mut self.output),
            }
        }
    }
}

/// One connection to a database.
pub(super) struct Client {
    stream: Stream,
    input: BytesMut,
}

impl Client {
    /// Connects and waits until the server is ready for a query.
    ///
    /// # Errors
    /// The network's error, or the server's.
    pub async fn connect(net: &Net, (host, port): (&str, u16)) -> io::Result<Self> {
        let mut client = Self { stream: net.connect(host, port).await?, input: BytesMut::new() };
        client.stream.write_all(&wire::hello("shop", "shop")).await?;
        client.until_ready().await?;
        Ok(client)
    }

    /// Runs a query and returns the number of its rows.
    ///
    /// # Errors
    /// An error of the connection or of the query.
    pub async fn query(&mut self, sql: &str) -> io::Result<u64> {
        self.stream.write_all(&wire::query(sql)).await?;
        self.until_ready().await
    }

    async fn until_ready(&mut self) -> io::Result<u64> {
        let (mut rows, mut error) = (0, None);
        loop {
            match wire::message(&mut self.input).map_err(io::Error::other)? {
                Some((b'Z', _)) => return error.map_or(Ok(rows), Err),
                Some((b'E', body)) => error = Some(io::Error::other(wire::error_text(&body))),
                Some((b'D', _)) => rows += 1,
                Some((b'R', body)) if body[..] != [0; 4] => return Err(io::Error::other("it asks for a password")),
                Some(_) => {}
                None => {
                    if self.stream.read_buf(&mut self.input).await? == 0 {
                        return Err(error.unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
    }
}
