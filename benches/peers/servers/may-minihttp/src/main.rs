//! may_minihttp: stackful coroutines on one worker thread a loop.
//!
//! It has no streamed bodies, so the three body routes are left out, and it adds `Server: M`.

use std::io;

use may::coroutine;
use may_minihttp::{HttpServer, HttpService, Request, Response};
use peer_common::{HELLO, Options, Route};

fn main() -> io::Result<()> {
    let options = Options::from_args();
    may::config().set_workers(options.loops);
    let server = HttpServer(Service).start(options.listen)?;
    println!("listening on http://{} (may)", options.listen);
    server.join().map_err(|_| io::Error::other("the server's coroutine panicked"))
}

#[derive(Clone)]
struct Service;

impl HttpService for Service {
    fn call(
        &mut self,
        request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        response.header("Content-Type: text/plain");
        match Route::of(request.path()) {
            Route::Hello => response.body(HELLO),
            Route::Delay(time) => {
                coroutine::sleep(time);
                response.body(HELLO);
            }
            Route::Block(time) => {
                std::thread::sleep(time);
                response.body(HELLO);
            }
            Route::User(user) | Route::Posts(user) => response.body_vec(user.into()),
            Route::Post(user, post) => response.body_vec(format!("{user}/{post}").into()),
            Route::Issue(org, repo, issue) => {
                response.body_vec(format!("{org}/{repo}/{issue}").into());
            }
            Route::Upload | Route::Download(_) | Route::Stream(_) | Route::Unknown => {
                response.status_code(404, "Not Found");
            }
        }
        Ok(())
    }
}
