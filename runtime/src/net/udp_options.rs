//! The options of a UDP socket: those that are set before it is bound, broadcast and multicast.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::net::addresses::first_that_works;
use crate::net::udp::UdpSocket;

/// Binds a [`UdpSocket`] with options. Returned by [`UdpSocket::builder`].
///
/// # Examples
/// Several programs of this machine receive what is sent to one multicast group:
///
/// ```
/// use std::net::Ipv4Addr;
/// use brigade_runtime::net::UdpSocket;
///
/// const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 7, 7);
///
/// brigade_runtime::run(async {
///     let socket = UdpSocket::builder().reuseaddr(true).bind("0.0.0.0:0").unwrap();
///     socket.join_multicast_v4(GROUP, Ipv4Addr::LOCALHOST).unwrap();
/// });
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `bind` is called"]
pub struct UdpBuilder {
    only_v6: Option<bool>,
    reuseaddr: bool,
    reuseport: bool,
}

impl UdpBuilder {
    /// Sets `IPV6_V6ONLY` (ipv6(7)) of a socket that is bound to an IPv6 address: it is not used
    /// for IPv4. The default is a setting of the system. Does nothing for an IPv4 address.
    pub fn only_v6(self, only_v6: bool) -> Self {
        Self { only_v6: Some(only_v6), ..self }
    }

    /// Sets `SO_REUSEADDR` (socket(7)): several sockets with this option may bind to one address.
    /// Each of them receives what is sent to a multicast or broadcast address; on Linux the one
    /// that was bound last receives everything else. Off by default.
    pub fn reuseaddr(self, reuseaddr: bool) -> Self {
        Self { reuseaddr, ..self }
    }

    /// Sets `SO_REUSEPORT` (socket(7)): several sockets of one user that all have this option may
    /// bind to one address. Linux spreads the datagrams over them by a hash of the addresses, so
    /// that each loop can have a socket of its own. Off by default.
    pub fn reuseport(self, reuseport: bool) -> Self {
        Self { reuseport, ..self }
    }

    /// Creates a socket and binds it like [`UdpSocket::bind`].
    ///
    /// # Errors
    /// Those of [`UdpSocket::bind`], and those of setsockopt(2).
    ///
    /// # Panics
    /// If there is no event loop on this thread.
    #[track_caller]
    pub fn bind(&self, addresses: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        UdpSocket::from_std(first_that_works(addresses, "bind to", |address| self.bound(address))?)
    }

    fn bound(&self, address: SocketAddr) -> io::Result<std::net::UdpSocket> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        if let Some(only_v6) = self.only_v6
            && address.is_ipv6()
        {
            socket.set_only_v6(only_v6)?;
        }
        if self.reuseaddr {
            socket.set_reuse_address(true)?;
        }
        if self.reuseport {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        Ok(socket.into())
    }
}

/// # Options
///
/// Each method returns the errors of setsockopt(2) or getsockopt(2), such as for an option of the
/// other family of addresses.
impl UdpSocket {
    /// Returns a builder, to bind a socket with options that must be set before.
    pub fn builder() -> UdpBuilder {
        UdpBuilder::default()
    }

    /// Sets `SO_BROADCAST` (socket(7)): the socket may send to a broadcast address, which is
    /// `PermissionDenied` otherwise. Off by default.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.options().set_broadcast(broadcast)
    }

    /// Returns the value of `SO_BROADCAST`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn broadcast(&self) -> io::Result<bool> {
        self.options().broadcast()
    }

    /// Joins a multicast group (`IP_ADD_MEMBERSHIP`, ip(7)) on the interface with this address. For
    /// the unspecified address the system chooses the interface.
    ///
    /// # Errors
    /// Those of setsockopt(2): `AddrInUse` if the socket is in the group already.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.options().join_multicast_v4(&group, &interface)
    }

    /// Leaves a multicast group (`IP_DROP_MEMBERSHIP`, ip(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2): `AddrNotAvailable` if the socket is not in the group.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.options().leave_multicast_v4(&group, &interface)
    }

    /// Joins a multicast group (`IPV6_ADD_MEMBERSHIP`, ipv6(7)) on the interface with this index.
    /// For 0 the system chooses the interface.
    ///
    /// # Errors
    /// Those of setsockopt(2): `AddrInUse` if the socket is in the group already.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.options().join_multicast_v6(group, interface)
    }

    /// Leaves a multicast group (`IPV6_DROP_MEMBERSHIP`, ipv6(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2): `AddrNotAvailable` if the socket is not in the group.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.options().leave_multicast_v6(group, interface)
    }

    /// Sets the interface from which datagrams to multicast groups are sent, by its address
    /// (`IP_MULTICAST_IF`, ip(7)). By default the system chooses it by its routes.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_if_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        self.options().set_multicast_if_v4(&interface)
    }

    /// Sets the interface from which datagrams to multicast groups are sent, by its index
    /// (`IPV6_MULTICAST_IF`, ipv6(7)). By default, and for 0, the system chooses it by its routes.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        self.options().set_multicast_if_v6(interface)
    }

    /// Sets whether this machine, too, receives what the socket sends to multicast groups
    /// (`IP_MULTICAST_LOOP`, ip(7)). On by default.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v4(&self, receives: bool) -> io::Result<()> {
        self.options().set_multicast_loop_v4(receives)
    }

    /// Returns the value of `IP_MULTICAST_LOOP`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.options().multicast_loop_v4()
    }

    /// Sets whether this machine, too, receives what the socket sends to multicast groups
    /// (`IPV6_MULTICAST_LOOP`, ipv6(7)). On by default.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_loop_v6(&self, receives: bool) -> io::Result<()> {
        self.options().set_multicast_loop_v6(receives)
    }

    /// Returns the value of `IPV6_MULTICAST_LOOP`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.options().multicast_loop_v6()
    }

    /// Sets how many hops a datagram to a multicast group may take (`IP_MULTICAST_TTL`, ip(7)). By
    /// default it is 1: datagrams stay in the local network.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_ttl_v4(&self, hops: u32) -> io::Result<()> {
        self.options().set_multicast_ttl_v4(hops)
    }

    /// Returns the value of `IP_MULTICAST_TTL`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.options().multicast_ttl_v4()
    }

    /// Sets how many hops a datagram to a multicast group may take (`IPV6_MULTICAST_HOPS`,
    /// ipv6(7)). By default it is 1: datagrams stay in the local network.
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.options().set_multicast_hops_v6(hops)
    }

    /// Returns the value of `IPV6_MULTICAST_HOPS`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        self.options().multicast_hops_v6()
    }

    /// Sets how many hops a datagram to one receiver may take (`IP_TTL`, ip(7)).
    ///
    /// # Errors
    /// Those of setsockopt(2).
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.options().set_ttl_v4(hops)
    }

    /// Returns the value of `IP_TTL`.
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn ttl(&self) -> io::Result<u32> {
        self.options().ttl_v4()
    }

    /// Returns the value of `IPV6_V6ONLY`, see [`UdpBuilder::only_v6`].
    ///
    /// # Errors
    /// Those of getsockopt(2).
    pub fn only_v6(&self) -> io::Result<bool> {
        self.options().only_v6()
    }

    fn options(&self) -> SockRef<'_> {
        SockRef::from(self.socket())
    }
}
