//! The servers: where each comes from, what it can do, how it is built and started.

mod build;
mod certificate;
mod database;
mod running;

pub use build::{build, version};
pub use running::{Running, start};

/// What a scenario may need of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// Responds to `GET /`.
    Http,
    /// Sends back what it receives.
    Echo,
    /// `/delay/{seconds}` and `/block/{milliseconds}`.
    Wait,
    /// The ten routes with their parameters.
    Routes,
    /// Obeys `Connection: close`.
    Close,
    /// `/upload` and `/download/{bytes}`.
    Body,
    /// `/stream/{bytes}`: a body without `Content-Length`.
    Stream,
    /// Serves the files of the scenario `static`.
    Files,
    /// Sends files that were compressed before in place of others.
    Siblings,
    /// More than one loop or worker thread.
    Loops,
    /// An epoll instance for each loop, which shows how many connections the loop has.
    Selectors,
    /// `/json`: 50 items from a struct.
    Json,
    /// `/ws`: a WebSocket that sends back what it receives.
    WebSocket,
    /// Sends requests on to `PEER_BACKEND`, and has no routes of its own.
    Proxy,
    /// `/users/{id}`: the name of a user, from the database `PEER_DATABASE`.
    Database,
    /// HTTP/1.1 and HTTP/2 over TLS, with `/` and `/download/{bytes}`; nothing without TLS.
    Tls,
}

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A member of this workspace, `peer-{name}`; its version is that of this crate.
    Member(&'static str),
    /// The same, built from the working tree around this workspace; its version is the commit.
    Brigade,
    /// `peer-brigade`, started with `PEER_ACCEPT=per-loop`; measured only if it is named.
    BrigadePerLoop,
    /// `servers/go`, built by the installed Go.
    Go,
    /// The installed nginx.
    Nginx,
    /// The same, as a proxy.
    NginxProxy,
    /// The same, over TLS.
    NginxTls,
    /// The installed HAProxy.
    Haproxy,
    /// `servers/node-ws`, on the installed Node.js, with the package `ws` from npm.
    NodeWs,
}

/// One of the servers that are compared.
#[derive(Debug)]
pub struct Server {
    /// Its name, on the command line and in results.
    pub name: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// What it can do.
    pub abilities: &'static [Ability],
}

impl Server {
    /// Returns `true` if the server has all these abilities.
    pub fn can(&self, needs: &[Ability]) -> bool {
        needs.iter().all(|need| self.abilities.contains(need))
    }

    /// Returns the server that the requests to a proxy are sent on to: the floor.
    pub fn backend(&self) -> Option<&'static Self> {
        self.can(&[Proxy]).then(|| &SERVERS[0])
    }
}

use Ability::{
    Body, Close, Database, Echo, Files, Http, Json, Loops, Proxy, Routes, Selectors, Siblings,
    Stream, Tls, Wait, WebSocket,
};
use Source::{Brigade, BrigadePerLoop, Go, Haproxy, Member, Nginx, NginxProxy, NginxTls, NodeWs};

const ALL: &[Ability] = &[Http, Wait, Routes, Close, Body, Stream, Loops];
const BRIGADE: &[Ability] =
    &[Http, Wait, Routes, Close, Body, Stream, Loops, Selectors, Json, WebSocket, Files, Siblings];

/// Every server, in the order of the results.
pub const SERVERS: &[Server] = &[
    // It has one response for all paths, the cheapest routing there is.
    Server { name: "floor", source: Member("rustix"), abilities: &[Http, Routes, Close] },
    Server { name: "brigade", source: Brigade, abilities: BRIGADE },
    Server { name: "brigade-per-loop", source: BrigadePerLoop, abilities: BRIGADE },
    Server { name: "hyper", source: Member("hyper"), abilities: ALL },
    Server {
        name: "axum",
        source: Member("axum"),
        abilities: &[
            Http, Wait, Routes, Close, Body, Stream, Loops, Json, WebSocket, Files, Siblings,
        ],
    },
    Server {
        name: "axum-on-brigade",
        source: Brigade,
        abilities: &[Http, Wait, Routes, Close, Loops, Json],
    },
    // actix-files knows no files that were compressed before.
    Server {
        name: "actix-web",
        source: Member("actix-web"),
        abilities: &[Http, Wait, Routes, Close, Body, Stream, Loops, Json, WebSocket, Files],
    },
    Server { name: "ntex", source: Member("ntex"), abilities: ALL },
    Server {
        name: "xitca-web",
        source: Member("xitca-web"),
        abilities: &[Http, Wait, Routes, Close, Loops],
    },
    // It ignores the Connection header.
    Server {
        name: "may-minihttp",
        source: Member("may_minihttp"),
        abilities: &[Http, Wait, Routes, Loops],
    },
    Server { name: "monoio", source: Member("monoio"), abilities: ALL },
    Server {
        name: "nginx",
        source: Nginx,
        abilities: &[Http, Routes, Close, Body, Files, Siblings],
    },
    Server { name: "go", source: Go, abilities: ALL },
    Server { name: "node-ws", source: NodeWs, abilities: &[WebSocket] },
    Server { name: "proxy-brigade", source: Brigade, abilities: &[Proxy] },
    Server { name: "proxy-hyper-util", source: Member("hyper-util"), abilities: &[Proxy] },
    Server { name: "proxy-nginx", source: NginxProxy, abilities: &[Proxy] },
    Server { name: "proxy-haproxy", source: Haproxy, abilities: &[Proxy] },
    Server { name: "postgres-brigade", source: Brigade, abilities: &[Database] },
    Server { name: "postgres-compat", source: Brigade, abilities: &[Database] },
    Server { name: "postgres-axum", source: Member("tokio-postgres"), abilities: &[Database] },
    Server { name: "echo-brigade", source: Brigade, abilities: &[Echo] },
    Server { name: "echo-tokio", source: Member("tokio"), abilities: &[Echo] },
    Server { name: "echo-monoio", source: Member("monoio"), abilities: &[Echo] },
    Server { name: "echo-smol", source: Member("smol"), abilities: &[Echo] },
    Server { name: "tls-brigade", source: Brigade, abilities: &[Tls] },
    Server { name: "tls-hyper", source: Member("hyper"), abilities: &[Tls] },
    Server { name: "tls-axum", source: Member("axum"), abilities: &[Tls] },
    Server { name: "tls-actix-web", source: Member("actix-web"), abilities: &[Tls] },
    Server { name: "tls-ntex", source: Member("ntex"), abilities: &[Tls] },
    Server { name: "tls-nginx", source: NginxTls, abilities: &[Tls] },
];

/// The servers of a smoke run.
pub const SMOKE: &[&str] =
    &["floor", "brigade", "hyper", "proxy-brigade", "echo-brigade", "echo-tokio"];
