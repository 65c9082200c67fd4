//! rusqlite, which blocks, on the threads of `spawn_blocking`.
#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex};

use rusqlite::Connection;

#[test]
fn sqlite_is_asked_on_a_blocking_thread() {
    brigade::run(async {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute("CREATE TABLE counts (n INTEGER)", ()).unwrap();
        let connection = Arc::new(Mutex::new(connection));
        let inserts = (1..=10).map(|n: i64| {
            let connection = connection.clone();
            brigade::spawn_blocking(move || {
                let connection = connection.lock().unwrap();
                connection.execute("INSERT INTO counts VALUES (?1)", [n])
            })
        });
        for inserted in brigade::gather_all(inserts).await {
            assert_eq!(inserted.unwrap().unwrap(), 1);
        }
        let sum = brigade::spawn_blocking(move || {
            let connection = connection.lock().unwrap();
            connection.query_row("SELECT sum(n) FROM counts", (), |row| row.get::<_, i64>(0))
        });
        assert_eq!(sum.await.unwrap().unwrap(), 55);
    });
}
