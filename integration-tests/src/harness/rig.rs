//! A daemon with some units whose agents are the test itself.

use anyhow::Context as _;
use handfast_proto::v1::Side;

use super::{
    admin::Turned,
    deployment::{Deployment, UnitAtTest},
    identity::Identity,
    publisher::Publisher,
    subscriber::{Pace, Subscriber},
};

/// A unit, and the certificate of its agent.
#[derive(Debug)]
pub struct Member {
    /// The unit and its administrator.
    pub unit: UnitAtTest,
    /// Its agent's certificate.
    pub identity: Identity,
}

/// A deployment and its members.
#[derive(Debug)]
pub struct Rig {
    /// The daemon.
    pub deployment: Deployment,
    /// The units, `Z00001` first.
    pub members: Vec<Member>,
}

impl Rig {
    /// A deployment of so many units, all halves off.
    pub async fn new(units: usize) -> anyhow::Result<Self> {
        Self::over(Deployment::start().await?, units).await
    }

    /// The same, in a deployment that is there.
    pub async fn over(deployment: Deployment, units: usize) -> anyhow::Result<Self> {
        let mut members = Vec::new();
        for n in 1..=units {
            let unit = deployment.add_unit(&format!("Z{n:05}"), "gp").await?;
            let identity = deployment.enrol(&unit).await?;
            members.push(Member { unit, identity });
        }
        Ok(Self { deployment, members })
    }

    /// A member by its place.
    pub fn member(&self, place: usize) -> anyhow::Result<&Member> {
        self.members.get(place).context("a member of the rig")
    }

    /// The ODS code of a member.
    pub fn ods(&self, place: usize) -> anyhow::Result<&str> {
        Ok(&self.member(place)?.unit.ods)
    }

    /// A source in a member's name.
    pub fn publisher(&self, place: usize) -> anyhow::Result<Publisher> {
        Ok(Publisher::start(
            &self.deployment.url(),
            &self.member(place)?.identity,
        ))
    }

    /// A recipient in a member's name.
    pub fn subscriber(&self, place: usize, pace: Pace) -> anyhow::Result<Subscriber> {
        Ok(Subscriber::start(
            &self.deployment.url(),
            &self.member(place)?.identity,
            pace,
        ))
    }

    /// Turns one half of a pair, by the administrator whose half it is.
    pub async fn turn(&self, side: Side, from: usize, to: usize, on: bool) -> anyhow::Result<Turned> {
        let whose = if side == Side::ShareOut { from } else { to };
        let admin = &self.member(whose)?.unit.admin;
        admin.set(side, self.ods(from)?, self.ods(to)?, on).await
    }

    /// Turns both halves of a pair on; returns the grant.
    pub async fn join(&self, from: usize, to: usize) -> anyhow::Result<u64> {
        self.turn(Side::ShareOut, from, to, true).await?;
        let turned = self.turn(Side::ShareIn, from, to, true).await?;
        Ok(turned.agreement.grant)
    }
}
