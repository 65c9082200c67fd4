//! PostgreSQL with a table of users, for servers that query it: started in a temporary directory,
//! on the cores of the thread that starts it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian puts the programs of each version.
const VERSIONS: &str = "/usr/lib/postgresql";
/// 1,000 users, each with the name that `GET /` responds with.
const USERS: &str = "CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL);
    INSERT INTO users (name) SELECT 'Hello, World!' FROM generate_series(1, 1000);
    ANALYZE users";

/// A running PostgreSQL, which is stopped when this is dropped.
#[derive(Debug)]
pub(super) struct Database {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
}

/// Returns the directory of the programs of the newest version that is installed.
///
/// # Errors
/// `Other` if PostgreSQL is not installed.
pub(super) fn programs() -> io::Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin"));
    let newest = programs.filter(|programs| programs.join("initdb").exists()).max_by_key(|path| {
        let version = path.parent().and_then(Path::file_name);
        version.and_then(|version| version.to_string_lossy().parse::<u32>().ok())
    });
    newest.ok_or_else(|| io::Error::other("PostgreSQL is missing: apt-get install postgresql"))
}

impl Database {
    /// Starts PostgreSQL at `address`.
    ///
    /// # Errors
    /// If it is not installed or does not start; with its output.
    pub(super) fn start(address: SocketAddr) -> io::Result<Self> {
        let (programs, port) = (programs()?, address.port());
        let directory = std::env::temp_dir().join(format!("brigade-peers-database-{port}"));
        let database = Self { programs, directory, port };
        database.make_directory()?;
        let data = database.directory.display().to_string();
        run(database.command("initdb").args(["-D", &data, "-U", "peer", "-A", "trust", "-N"]))?;
        let options = format!(
            "-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off"
        );
        let log = format!("{data}/log");
        let start = ["-D", &data, "-l", &log, "-w", "-o", &options, "start"];
        run(database.command("pg_ctl").args(start))?;
        let port = port.to_string();
        let to = ["-h", "127.0.0.1", "-p", &port, "-U", "peer", "-d", "postgres", "-c", USERS];
        run(database.command("psql").args(to))?;
        Ok(database)
    }

    /// Returns how tokio-postgres connects to it.
    pub(super) fn config(&self) -> String {
        format!("host=127.0.0.1 port={} user=peer dbname=postgres", self.port)
    }

    fn make_directory(&self) -> io::Result<()> {
        if !is_root() {
            return fs::create_dir_all(&self.directory);
        }
        run(Command::new("install")
            .args(["-d", "-o", "postgres", "-m", "700"])
            .arg(&self.directory))
    }

    /// Returns a command that runs one of its programs, which refuse to run as root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        // The directory of the harness may not be open to the other user.
        command.current_dir("/").stdin(Stdio::null());
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Fails only if it has ended already; a directory that is left does no harm.
        let mut stop = self.command("pg_ctl");
        let _ = run(stop.arg("-D").arg(&self.directory).args(["-m", "immediate", "-w", "stop"]));
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{:?}: {}", command.get_program(), errors.trim())))
}
