//! The server whose instructions benches/instructions.sh counts: the same work, done by handlers
//! that take the whole request, and by handlers that take their arguments from it.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use brigade::http::{Path, Request, Router, Server, State, get};

type Sum = Rc<Cell<u64>>;

async fn request(_request: Request) -> &'static str {
    "Hello, World!"
}

async fn extracted(Path(id): Path<u64>, State(sum): State<Sum>) -> &'static str {
    sum.set(sum.get() + id);
    "Hello, World!"
}

fn router() -> Router {
    let sum = Sum::default();
    let state = sum.clone();
    // What `extracted` does, by a method of the request and a value that is captured.
    let by_hand = async move |request: Request| {
        let Ok(id) = request.param_as::<u64>("id") else { return "" };
        sum.set(sum.get() + id);
        "Hello, World!"
    };
    Router::new()
        .route("/request", get(request))
        .route("/by-hand/{id}", get(by_hand))
        .route("/extracted/{id}", get(extracted))
        .with_state(state)
}

fn main() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0")?.loops(1);
    println!("listening on http://{} (1 event loop)", server.local_addr()?);
    server.run(router)?;
    Ok(())
}
