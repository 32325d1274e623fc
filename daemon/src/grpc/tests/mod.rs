//! Tests of the edge over real sockets on loopback.

mod door;
mod enrolment;
mod slow;
mod tls;
