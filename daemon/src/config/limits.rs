//! Every bound that can be set, in one place: name, unit, range, default, flag and environment variable.

use clap::Args;
use handfast_proto::limits::{DEFAULT_MAX_PAYLOAD_BYTES, HARD_MAX_PAYLOAD_BYTES};
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;

/// See [`HARD_MAX_PAYLOAD_BYTES`].
const HARD_MAX_PAYLOAD: u64 = HARD_MAX_PAYLOAD_BYTES as u64;

/// A limit as people see it.
#[derive(Debug, Clone, Copy)]
pub struct LimitText {
    /// Its key in `[limits]`.
    pub key: &'static str,
    /// What it bounds.
    pub meaning: &'static str,
}

macro_rules! limits {
    ($( #[doc = $doc:literal] $name:ident ($env:literal) : $min:literal ..= $max:tt = $default:expr; )*) => {
        /// What the daemon lets others use of it. The names carry the units.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits {
            $( #[doc = $doc] pub $name: Bounded<$min, { $max }>, )*
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $( $name: const { Bounded::new($default) }, )* }
            }
        }

        /// The same as flags and environment variables; what is not given is left as it is.
        #[derive(Debug, Clone, Default, Args)]
        #[command(next_help_heading = "Limits")]
        pub struct LimitFlags {
            $(
                #[doc = $doc]
                #[arg(long, env = $env, value_name = "N", hide_env_values = true)]
                pub $name: Option<Bounded<$min, { $max }>>,
            )*
        }

        impl LimitFlags {
            /// Puts what was given over what is there.
            pub fn apply(&self, limits: &mut Limits) {
                $( if let Some(given) = self.$name { limits.$name = given; } )*
            }
        }

        impl Limits {
            /// Every limit in order, with its value.
            pub fn list(&self) -> Vec<(LimitText, u64)> {
                vec![ $( (LimitText { key: stringify!($name), meaning: $doc.trim_ascii() }, self.$name.get()), )* ]
            }
        }
    };
}

limits! {
    /// Open connections in all.
    max_connections ("HANDFAST_MAX_CONNECTIONS"): 1..=1_000_000 = 20_000;
    /// Connections taken in a second; more wait in the kernel, so that a storm of them does not starve what is open.
    connections_per_second ("HANDFAST_CONNECTIONS_PER_SECOND"): 1..=1_000_000 = 1_000;
    /// Connections that are taken in at once after a quiet time.
    connections_burst ("HANDFAST_CONNECTIONS_BURST"): 1..=1_000_000 = 500;
    /// Open connections of one unit.
    max_connections_per_unit ("HANDFAST_MAX_CONNECTIONS_PER_UNIT"): 2..=10_000 = 8;
    /// Open connections of one person.
    max_connections_per_person ("HANDFAST_MAX_CONNECTIONS_PER_PERSON"): 1..=10_000 = 32;
    /// Open connections from one address (IPv6: one /64) that show no certificate, or not yet.
    max_unidentified_per_address ("HANDFAST_MAX_UNIDENTIFIED_PER_ADDRESS"): 1..=1_000_000 = 256;
    /// Milliseconds for a handshake.
    handshake_timeout_ms ("HANDFAST_HANDSHAKE_TIMEOUT_MS"): 10..=600_000 = 10_000;
    /// Milliseconds from the handshake to the first whole request.
    first_request_timeout_ms ("HANDFAST_FIRST_REQUEST_TIMEOUT_MS"): 10..=600_000 = 10_000;
    /// Milliseconds that a connection without a certificate may stay.
    anonymous_lifetime_ms ("HANDFAST_ANONYMOUS_LIFETIME_MS"): 10..=86_400_000 = 60_000;
    /// Milliseconds for a call that is not a stream.
    unary_timeout_ms ("HANDFAST_UNARY_TIMEOUT_MS"): 10..=600_000 = 30_000;
    /// Calls a second of one holder (or one address without a certificate) that are not streams; more wait.
    unary_calls_per_second ("HANDFAST_UNARY_CALLS_PER_SECOND"): 1..=1_000_000 = 100;
    /// Calls that a holder who was quiet may make at once.
    unary_calls_burst ("HANDFAST_UNARY_CALLS_BURST"): 1..=1_000_000 = 200;
    /// Bytes of a request's headers.
    max_header_list_bytes ("HANDFAST_MAX_HEADER_LIST_BYTES"): 1_024..=1_048_576 = 16_384;
    /// Calls at one time on one connection.
    max_concurrent_streams ("HANDFAST_MAX_CONCURRENT_STREAMS"): 2..=10_000 = 64;
    /// Bytes that a peer may send on one stream before they are taken in.
    stream_window_bytes ("HANDFAST_STREAM_WINDOW_BYTES"): 65_535..=16_777_216 = 1_048_576;
    /// Bytes that a peer may send on one connection before they are taken in.
    connection_window_bytes ("HANDFAST_CONNECTION_WINDOW_BYTES"): 65_535..=67_108_864 = 2_097_152;
    /// Bytes of one stream that wait in the daemon for the transport; small, so that little is in flight.
    send_buffer_bytes ("HANDFAST_SEND_BUFFER_BYTES"): 1_024..=16_777_216 = 131_072;
    /// Milliseconds without a frame until a ping is sent.
    keepalive_interval_ms ("HANDFAST_KEEPALIVE_INTERVAL_MS"): 100..=3_600_000 = 22_000;
    /// Milliseconds until a ping that is not answered ends the connection.
    keepalive_timeout_ms ("HANDFAST_KEEPALIVE_TIMEOUT_MS"): 100..=3_600_000 = 7_000;
    /// Amendments a second of one unit; one that sends more is slowed.
    amendments_per_second_per_unit ("HANDFAST_AMENDMENTS_PER_SECOND_PER_UNIT"): 1..=10_000_000 = 200_000;
    /// Amendments that a unit that was quiet may send at once; at least one batch.
    amendments_burst_per_unit ("HANDFAST_AMENDMENTS_BURST_PER_UNIT"): 64..=10_000_000 = 200_000;
    /// Bytes of one amendment's payload.
    max_payload_bytes ("HANDFAST_MAX_PAYLOAD_BYTES"): 1_024..=HARD_MAX_PAYLOAD = DEFAULT_MAX_PAYLOAD_BYTES as u64;
    /// Emergency accesses that one person may ask for in an hour; those beyond are refused.
    emergency_requests_per_hour_per_person ("HANDFAST_EMERGENCY_REQUESTS_PER_HOUR_PER_PERSON"): 1..=10_000 = 20;
    /// Emergency accesses that a person who was quiet may ask for at once.
    emergency_requests_burst_per_person ("HANDFAST_EMERGENCY_REQUESTS_BURST_PER_PERSON"): 1..=10_000 = 10;
    /// Milliseconds that a revocation waits for what is in flight before it cuts the connection.
    drain_ms ("HANDFAST_DRAIN_MS"): 1..=60_000 = 1_000;
    /// Milliseconds between a stop being asked for and what is still open being cut.
    shutdown_grace_ms ("HANDFAST_SHUTDOWN_GRACE_MS"): 0..=600_000 = 3_000;
}

impl Limits {
    /// Whether they go together. An agent publishes and receives over one connection: while what it publishes waits
    /// to be taken in, its receipts must still find room, or a revocation waits for them in vain.
    pub fn check(&self) -> Result<(), String> {
        let (stream, connection) = (self.stream_window_bytes.get(), self.connection_window_bytes.get());
        if connection < 2 * stream {
            return Err(format!(
                "connection_window_bytes ({connection}) must be at least twice stream_window_bytes ({stream}): an \
                 agent's receipts share its connection with what it publishes"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_a_meaning_and_a_key_that_a_file_may_use() {
        for (text, value) in Limits::default().list() {
            assert!(text.meaning.ends_with('.'), "{}", text.key);
            let toml = format!("{} = {value}", text.key);
            assert_eq!(
                toml::from_str::<Limits>(&toml).unwrap(),
                Limits::default(),
                "{toml}"
            );
        }
    }

    #[test]
    fn a_stream_takes_no_more_than_half_of_a_connections_window() {
        assert_eq!(Limits::default().check(), Ok(()));
        let full = Limits {
            stream_window_bytes: Bounded::new(1_048_577),
            ..Limits::default()
        };
        let why = full.check().unwrap_err();
        assert!(
            why.contains("must be at least twice stream_window_bytes (1048577)"),
            "{why}"
        );
    }

    #[test]
    fn a_flag_wins() {
        let mut limits: Limits = toml::from_str("drain_ms = 5\nmax_connections = 7").unwrap();
        let flags = LimitFlags {
            drain_ms: Some(Bounded::new(9)),
            ..LimitFlags::default()
        };
        flags.apply(&mut limits);
        assert_eq!((limits.drain_ms.get(), limits.max_connections.get()), (9, 7));
    }
}
