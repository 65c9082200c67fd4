//! A running server: pinned, probed, and killed when dropped.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::build::{binary, node_ws};
use super::certificate;
use super::database::Database;
use super::{Ability, Server, Source};
use crate::files;
use crate::load::{Resume, TlsClient, Wire};
use crate::machine::{LOAD_CORE, pin};
use crate::process::Process;
use crate::scenarios::Scenario;

/// How long a server may take until it accepts connections.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two attempts to connect.
const START_RETRY: Duration = Duration::from_millis(20);
/// How long the response to the probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

const NGINX_CONFIG: &str = include_str!("../../servers/nginx/nginx.conf");
const NGINX_PROXY_CONFIG: &str = include_str!("../../servers/nginx/proxy.conf");
const NGINX_TLS_CONFIG: &str = include_str!("../../servers/nginx/tls.conf");
const HAPROXY_CONFIG: &str = include_str!("../../servers/haproxy/haproxy.cfg");

/// A server that accepts connections.
#[derive(Debug)]
pub struct Running {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// Its process, for the kernel's accounts.
    pub process: Process,
    /// The line that it printed when it was ready; empty if it printed none.
    pub greeting: String,
    child: Child,
    directory: PathBuf,
    /// The server behind a proxy.
    _backend: Option<Box<Running>>,
    /// The database of a server that queries one.
    _database: Option<Database>,
}

/// Starts a server on `cores`, waits until it accepts, and checks its response to `GET /`. An echo
/// server must send that back. The backend of a proxy and the database are started first, on the
/// core of the load.
///
/// # Errors
/// If it does not start, ends, does not accept in time or sends another response; with its output.
pub fn start(
    server: &Server,
    scenario: &Scenario,
    loops: usize,
    cores: &[usize],
) -> io::Result<Running> {
    let backend = match server.backend() {
        Some(backend) => Some(Box::new(start(backend, scenario, 1, &[LOAD_CORE])?)),
        None => None,
    };
    let database = match server.can(&[Ability::Database]) {
        true => Some(Database::start(free_address()?)?),
        false => None,
    };
    let address = free_address()?;
    let directory = std::env::temp_dir().join(format!("brigade-peers-{}", address.port()));
    fs::create_dir_all(&directory)?;
    if scenario.needs.contains(&Ability::Files) {
        files::create(&directory)?;
    }
    if server.can(&[Ability::Tls]) {
        certificate::create(&directory)?;
    }
    let mut command = match &backend {
        Some(backend) => proxy_command(server, address, backend.address, &directory)?,
        None => command(server, scenario, address, loops, &directory)?,
    };
    let log = File::create(directory.join("log"))?;
    if let Some(database) = &database {
        command.env("PEER_DATABASE", database.config());
    }
    command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
    pin(cores)?;
    let child = command.spawn();
    pin(&[LOAD_CORE])?;
    let child = child?;
    let process = Process { id: child.id() };
    let mut running = Running {
        address,
        process,
        greeting: String::new(),
        child,
        directory,
        _backend: backend,
        _database: database,
    };
    running.wait_until_it_responds(server)?;
    running.greeting = running.log().lines().next().unwrap_or_default().to_owned();
    Ok(running)
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

fn command(
    server: &Server,
    scenario: &Scenario,
    address: SocketAddr,
    loops: usize,
    directory: &Path,
) -> io::Result<Command> {
    let mut command = match server.source {
        Source::Nginx => {
            let config = NGINX_CONFIG.replace("@LISTEN@", &address.to_string());
            fs::write(directory.join("nginx.conf"), config)?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr"]);
            return Ok(command);
        }
        Source::NginxTls => {
            let config = NGINX_TLS_CONFIG.replace("@LISTEN@", &address.to_string());
            fs::write(directory.join("nginx.conf"), config)?;
            let mut command = Command::new("nginx");
            command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr"]);
            return Ok(command);
        }
        Source::NodeWs => {
            let mut command = Command::new("node");
            command.arg(node_ws().join("main.js"));
            command
        }
        Source::BrigadePerLoop => {
            let mut command = Command::new(binary("peer-brigade"));
            command.env("PEER_ACCEPT", "per-loop");
            command
        }
        _ => Command::new(binary(&format!("peer-{}", server.name))),
    };
    command.args(["--listen", &address.to_string(), "--loops", &loops.to_string()]);
    // So that a server can be configured as its users would for that load.
    command.env("PEER_SCENARIO", scenario.name);
    command.env("PEER_FILES", directory.join("static"));
    command.env("PEER_CERTIFICATE", directory.join(certificate::CERTIFICATE));
    command.env("PEER_KEY", directory.join(certificate::KEY));
    Ok(command)
}

/// Returns the command that starts a proxy with one thread.
fn proxy_command(
    server: &Server,
    address: SocketAddr,
    backend: SocketAddr,
    directory: &Path,
) -> io::Result<Command> {
    let (address, backend) = (address.to_string(), backend.to_string());
    let configured = |name: &str, template: &str| {
        let config = template.replace("@LISTEN@", &address).replace("@BACKEND@", &backend);
        fs::write(directory.join(name), config)
    };
    let mut command;
    match server.source {
        Source::NginxProxy => {
            configured("nginx.conf", NGINX_PROXY_CONFIG)?;
            command = Command::new("nginx");
            command.arg("-p").arg(directory).args(["-c", "nginx.conf", "-e", "stderr"]);
        }
        Source::Haproxy => {
            configured("haproxy.cfg", HAPROXY_CONFIG)?;
            command = Command::new("haproxy");
            command.arg("-db").arg("-f").arg(directory.join("haproxy.cfg"));
        }
        _ => {
            command = Command::new(binary(&format!("peer-{}", server.name)));
            command.args(["--listen", &address, "--backend", &backend]);
        }
    }
    Ok(command)
}

impl Running {
    /// Creates the file of zeros from which nginx serves `/download/{bytes}`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn offer(&self, bytes: u64) -> io::Result<()> {
        let path = self.directory.join("download").join(bytes.to_string());
        fs::create_dir_all(self.directory.join("download"))?;
        File::create(&path)?.set_len(bytes)?;
        // Fills the page cache here, not at the server's cost.
        io::copy(&mut File::open(path)?, &mut io::sink()).map(drop)
    }

    fn wait_until_it_responds(&mut self, server: &Server) -> io::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("ended with {status}: {}", self.log())));
            }
            match TcpStream::connect(self.address) {
                Ok(stream) => return probe(stream, server),
                Err(_) if Instant::now() < deadline => std::thread::sleep(START_RETRY),
                Err(error) => {
                    return Err(io::Error::other(format!("no accept, {error}: {}", self.log())));
                }
            }
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The first two fail only if it has already ended; a directory that is left does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn probe(stream: TcpStream, server: &Server) -> io::Result<()> {
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    let tls = match server.can(&[Ability::Tls]) {
        true => Some(TlsClient::new("http/1.1", Resume::Never)?),
        false => None,
    };
    let mut stream = Wire::new(stream, tls.as_ref())?;
    let request = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    stream.write_all(request)?;
    if server.can(&[Ability::Echo]) {
        let mut received = vec![0; request.len()];
        stream.read_exact(&mut received)?;
        return match received == request {
            true => Ok(()),
            false => Err(io::Error::other("the echo differs")),
        };
    }
    let mut received = Vec::new();
    let mut buffer = [0; 1024];
    while !received.ends_with(b"Hello, World!") {
        match stream.read(&mut buffer)? {
            0 => break,
            size => received.extend_from_slice(&buffer[..size]),
        }
    }
    let text = String::from_utf8_lossy(&received).to_ascii_lowercase();
    let expected = ["http/1.1 200 ", "content-type: text/plain", "content-length: 13", "date: "];
    match expected.iter().find(|part| !text.contains(*part)) {
        Some(part) => {
            Err(io::Error::other(format!("no {part:?} in the response to GET /: {text}")))
        }
        None => Ok(()),
    }
}
