//! The options of UDP sockets: broadcast, multicast, and what is set before they are bound.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use brigade_runtime::net::{TcpSocket, UdpSocket};
use brigade_runtime::{gather, run};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 3, 7);
const HERE: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Returns a socket at any port of all addresses, and the port.
fn everywhere() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

async fn received(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 16];
    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
    buffer[..length].to_vec()
}

#[test]
fn a_broadcast_needs_permission() {
    run(async {
        let (receiver, port) = everywhere();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let all = SocketAddr::from(([127, 255, 255, 255], port));
        assert!(!sender.broadcast().unwrap());
        let error = sender.send_to(b"refused", all).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        sender.set_broadcast(true).unwrap();
        assert!(sender.broadcast().unwrap());
        sender.send_to(b"to all", all).await.unwrap();
        assert_eq!(received(&receiver).await, b"to all");
    });
}

#[test]
fn the_members_of_a_multicast_group_receive_until_they_leave_it() {
    run(async {
        let first = UdpSocket::builder().reuseaddr(true).bind("0.0.0.0:0").unwrap();
        let address = first.local_addr().unwrap();
        let second = UdpSocket::builder().reuseaddr(true).bind(address).unwrap();
        let members = [&first, &second];
        for member in members {
            member.join_multicast_v4(GROUP, HERE).unwrap();
        }
        let again = first.join_multicast_v4(GROUP, HERE).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);

        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.set_multicast_if_v4(HERE).unwrap();
        let group = SocketAddr::from((GROUP, address.port()));
        sender.send_to(b"news", group).await.unwrap();
        assert_eq!(gather(members.map(received)).await, [b"news", b"news"]);

        first.leave_multicast_v4(GROUP, HERE).unwrap();
        let again = first.leave_multicast_v4(GROUP, HERE).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn multicast_options_of_ipv4_are_kept() {
    run(async {
        let (socket, _) = everywhere();
        assert!(socket.multicast_loop_v4().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 1);
        socket.set_multicast_ttl_v4(7).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 7);
        socket.set_ttl(9).unwrap();
        assert_eq!((socket.ttl().unwrap(), socket.multicast_ttl_v4().unwrap()), (9, 7));
        assert!(socket.only_v6().is_err(), "it is an IPv4 socket");
    });
}

#[test]
fn multicast_options_of_ipv6_are_kept() {
    run(async {
        let Ok(socket) = UdpSocket::bind("[::]:0") else { return }; // This machine has no IPv6.
        assert!(socket.multicast_loop_v6().unwrap());
        socket.set_multicast_loop_v6(false).unwrap();
        assert!(!socket.multicast_loop_v6().unwrap());
        assert_eq!(socket.multicast_hops_v6().unwrap(), 1);
        socket.set_multicast_hops_v6(7).unwrap();
        assert_eq!(socket.multicast_hops_v6().unwrap(), 7);
        // Number 1 is the loopback interface.
        let group = Ipv6Addr::new(0xff01, 0, 0, 0, 0, 0, 0, 0x77);
        socket.set_multicast_if_v6(1).unwrap();
        socket.join_multicast_v6(&group, 1).unwrap();
        let again = socket.join_multicast_v6(&group, 1).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        socket.leave_multicast_v6(&group, 1).unwrap();
        assert!(socket.leave_multicast_v6(&group, 1).is_err());
    });
}

#[test]
fn a_udp_socket_that_is_only_v6_leaves_the_port_to_ipv4() {
    run(async {
        let only_v6 = UdpSocket::builder().only_v6(true);
        let Ok(socket) = only_v6.bind("[::]:0") else { return }; // This machine has no IPv6.
        assert!(socket.only_v6().unwrap());
        let port = socket.local_addr().unwrap().port();
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();

        let both = UdpSocket::builder().only_v6(false).bind("[::]:0").unwrap();
        assert!(!both.only_v6().unwrap());
        let port = both.local_addr().unwrap().port();
        let error = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(only_v6.bind("127.0.0.1:0").is_ok(), "the option is not for IPv4");
    });
}

#[test]
fn whether_a_tcp_socket_is_only_v6_can_be_read() {
    let Ok(socket) = TcpSocket::new_v6() else { return }; // This machine has no IPv6.
    for only_v6 in [true, false] {
        socket.set_only_v6(only_v6).unwrap();
        assert_eq!(socket.only_v6().unwrap(), only_v6);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn udp_sockets_share_an_address_only_if_each_has_the_option() {
    run(async {
        for sharing in [UdpSocket::builder().reuseaddr(true), UdpSocket::builder().reuseport(true)]
        {
            let first = sharing.bind("127.0.0.1:0").unwrap();
            let address = first.local_addr().unwrap();
            assert_eq!(sharing.bind(address).unwrap().local_addr().unwrap(), address);
            let error = UdpSocket::bind(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse);
        }
    });
}
