//! Redis at `REDIS`, by the crate `redis` on our streams. `tests/databases/run.sh` starts it.
#![forbid(unsafe_code)]

use brigade::bridge::SendIo;
use brigade::net::TcpStream;
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, AsyncConnectionConfig, RedisConnectionInfo};

#[test]
fn commands_share_one_connection() {
    let address = std::env::var("REDIS").expect("tests/databases/run.sh starts it and sets REDIS");
    brigade::run(async {
        let stream = SendIo::new(TcpStream::connect(address).await.unwrap());
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let info = RedisConnectionInfo::default();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await.unwrap();
        brigade::spawn(driver).detach();
        let key = format!("interop-{}", std::process::id());
        let increments = (0..100).map(|_| {
            let (mut connection, key) = (connection.clone(), key.clone());
            brigade::spawn(async move { connection.incr::<_, _, u32>(&key, 1).await.unwrap() })
        });
        let mut seen = Vec::new();
        for increment in increments.collect::<Vec<_>>() {
            seen.push(increment.await.unwrap());
        }
        seen.sort_unstable();
        assert_eq!(seen, (1..=100).collect::<Vec<_>>());
        let removed: u32 = connection.clone().del(&key).await.unwrap();
        assert_eq!(removed, 1);
    });
}
