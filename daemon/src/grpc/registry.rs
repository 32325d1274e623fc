//! Every open connection: how many each may have, and the way to cut those of a holder.
//!
//! Invariant: what is counted is open; a place is given back when its [`Arrival`] is dropped.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use handfast_proto::ids::Holder;
use parking_lot::Mutex;

use super::connection::Cutter;
use crate::{config::Limits, sharing};

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// Of all.
    #[error("as many connections are open as may be")]
    Total,
    /// Of one address.
    #[error("this address has as many connections without a certificate as it may")]
    Address,
    /// Of one holder.
    #[error("this holder has as many connections as it may")]
    Holder,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    next_id: u64,
    unidentified: HashMap<IpAddr, usize>,
    holders: HashMap<Holder, Vec<(u64, Cutter)>>,
}

/// The open connections.
#[derive(Debug)]
pub struct Connections {
    open: Mutex<Open>,
    max_total: usize,
    max_per_unit: usize,
    max_per_person: usize,
    max_per_address: usize,
}

/// A connection's place among the open ones; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Arrival {
    registry: Arc<Connections>,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Unidentified(IpAddr),
    Held(Holder, u64),
}

impl Connections {
    /// None open.
    pub fn new(limits: &Limits) -> Self {
        Self {
            open: Mutex::default(),
            max_total: limits.max_connections.as_usize(),
            max_per_unit: limits.max_connections_per_unit.as_usize(),
            max_per_person: limits.max_connections_per_person.as_usize(),
            max_per_address: limits.max_unidentified_per_address.as_usize(),
        }
    }

    /// Takes a place for a connection that was just accepted.
    pub(super) fn arrive(self: &Arc<Self>, address: IpAddr) -> Result<Arrival, Full> {
        let network = network_of(address);
        let mut open = self.open.lock();
        if open.total >= self.max_total {
            return Err(Full::Total);
        }
        let count = open.unidentified.entry(network).or_default();
        if *count >= self.max_per_address {
            return Err(Full::Address);
        }
        *count += 1;
        open.total += 1;
        Ok(Arrival {
            registry: Arc::clone(self),
            place: Place::Unidentified(network),
        })
    }

    /// Cuts every connection of a holder; the number of them. For a holder who was revoked or retired.
    pub fn cut_holder(&self, holder: &Holder) -> usize {
        let cutters: Vec<Cutter> = {
            let open = self.open.lock();
            let held = open.holders.get(holder).into_iter().flatten();
            held.map(|(_, cutter)| cutter.clone()).collect()
        };
        cutters.iter().for_each(Cutter::cut);
        cutters.len()
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open.lock().total
    }
}

impl sharing::Connections for Connections {
    fn close(&self, holder: &Holder) {
        let cut = self.cut_holder(holder);
        tracing::info!(%holder, connections = cut, "closed the connections of a holder");
    }
}

impl Arrival {
    /// The handshake has shown whose it is: counts as the holder's from now on.
    pub(super) fn identify(&mut self, holder: Holder, cutter: Cutter) -> Result<(), Full> {
        let max = match &holder {
            Holder::Unit(_) => self.registry.max_per_unit,
            Holder::Person(_) => self.registry.max_per_person,
        };
        let mut open = self.registry.open.lock();
        let id = open.next_id;
        let held = open.holders.entry(holder.clone()).or_default();
        if held.len() >= max {
            return Err(Full::Holder);
        }
        held.push((id, cutter));
        open.next_id += 1;
        if let Place::Unidentified(network) = &self.place {
            open.leave_network(*network);
        }
        self.place = Place::Held(holder, id);
        Ok(())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut open = self.registry.open.lock();
        open.total = open.total.saturating_sub(1);
        match &self.place {
            Place::Unidentified(network) => open.leave_network(*network),
            Place::Held(holder, id) => open.leave_holder(holder, *id),
        }
    }
}

impl Open {
    fn leave_network(&mut self, network: IpAddr) {
        if let Some(count) = self.unidentified.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.unidentified.remove(&network);
            }
        }
    }

    fn leave_holder(&mut self, holder: &Holder, id: u64) {
        if let Some(held) = self.holders.get_mut(holder) {
            held.retain(|(other, _)| *other != id);
            if held.is_empty() {
                self.holders.remove(holder);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or an IPv6 /64, since one host has as many as it likes there.
pub(super) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::{config::Bounded, grpc::connection::CutStream};

    async fn socket() -> (CutStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (CutStream::new(listener.accept().await.unwrap().0), client)
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let limits = Limits {
            max_connections: Bounded::new(4),
            max_connections_per_unit: Bounded::new(2),
            max_unidentified_per_address: Bounded::new(2),
            ..Limits::default()
        };
        let all = Arc::new(Connections::new(&limits));
        let here: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        let unit = Holder::Unit("Z00101".parse().unwrap());
        let (stream, _client) = socket().await;

        let mut first = all.arrive(here).unwrap();
        let second = all.arrive("192.0.2.1".parse().unwrap()).unwrap();
        assert_eq!(all.arrive(here).unwrap_err(), Full::Address);
        first.identify(unit.clone(), stream.cutter()).unwrap();
        let mut third = all.arrive(here).unwrap();
        third.identify(unit.clone(), stream.cutter()).unwrap();
        let mut fourth = all.arrive(here).unwrap();
        assert_eq!(
            fourth.identify(unit.clone(), stream.cutter()).unwrap_err(),
            Full::Holder
        );
        assert_eq!(all.arrive("192.0.2.2".parse().unwrap()).unwrap_err(), Full::Total);

        assert_eq!(all.cut_holder(&unit), 2);
        assert!(stream.cutter().is_cut());
        drop((first, second, third, fourth));
        assert_eq!(all.open(), 0);
        assert_eq!(all.cut_holder(&unit), 0);
        assert!(all.open.lock().unidentified.is_empty());
    }

    #[test]
    fn an_ipv6_host_is_one_address() {
        let one = network_of("2001:db8::1".parse().unwrap());
        assert_eq!(one, network_of("2001:db8::ffff:2".parse().unwrap()));
        assert_ne!(one, network_of("2001:db8:0:1::1".parse().unwrap()));
    }
}
