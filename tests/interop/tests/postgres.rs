//! PostgreSQL at `POSTGRES`, by tokio-postgres on our streams, and by sqlx beside our loop.
//! `tests/databases/run.sh` starts it.
#![forbid(unsafe_code)]

use std::time::Duration;

use async_compat::Compat;
use brigade::net::TcpStream;
use brigade::time::timeout;
use sqlx::Row;
use tokio_postgres::{Config, NoTls};

/// Returns `host:port` of the database.
fn address() -> String {
    std::env::var("POSTGRES").expect("tests/databases/run.sh starts a database and sets POSTGRES")
}

async fn connect() -> tokio_postgres::Client {
    let stream = TcpStream::connect(address()).await.unwrap();
    let config: Config = "user=brigade dbname=postgres".parse().unwrap();
    let (client, connection) = config.connect_raw(stream, NoTls).await.unwrap();
    brigade::spawn(connection).detach();
    client
}

#[test]
fn queries_are_pipelined_over_one_connection() {
    brigade::run(async {
        let client = connect().await;
        let double = client.prepare("SELECT $1::int * 2").await.unwrap();
        let queries = (0..50).map(|n: i32| {
            let (client, double) = (&client, &double);
            async move { client.query_one(double, &[&n]).await.unwrap().get::<_, i32>(0) }
        });
        let doubled = futures_util::future::join_all(queries).await;
        assert_eq!(doubled, (0..50).map(|n| n * 2).collect::<Vec<_>>());
    });
}

#[test]
fn a_query_is_cancelled_by_a_timeout() {
    brigade::run(async {
        let client = connect().await;
        let token = client.cancel_token();
        let slept = timeout(Duration::from_millis(50), client.query("SELECT pg_sleep(60)", &[]));
        assert!(slept.await.is_err());
        token.cancel_query_raw(TcpStream::connect(address()).await.unwrap(), NoTls).await.unwrap();
        // The connection is free again at once.
        let row = client.query_one("SELECT 1", &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), 1);
    });
}

#[test]
fn sqlx_runs_beside_a_loop() {
    brigade::run(async {
        let url = format!("postgres://brigade@{}/postgres?sslmode=disable", address());
        let pool = Compat::new(async { sqlx::PgPool::connect(&url).await }).await.unwrap();
        let sums = (0..20).map(|n: i32| {
            let pool = pool.clone();
            brigade::spawn(Compat::new(async move {
                let row = sqlx::query("SELECT $1 + 1").bind(n).fetch_one(&pool).await?;
                row.try_get::<i32, _>(0)
            }))
        });
        for (n, sum) in sums.collect::<Vec<_>>().into_iter().enumerate() {
            assert_eq!(sum.await.unwrap().unwrap(), n as i32 + 1);
        }
        Compat::new(pool.close()).await;
    });
}
