//! Objects and references that come and go.

use super::{failed, is};
use crate::census::wrong;
use crate::desk::{Desk, Shared, Thing};
use crate::driver::Driver;
use crate::world::CLASSES;
use anyhow::{Result, bail, ensure};
use apartment::{Apartment, CallError, Kind, Proxy, Table, WhyDisconnected};
use std::time::Duration;

/// In an STA of the round's, of its own and of all rounds'.
fn make(driver: &mut Driver<'_>) -> Result<Proxy<Thing>> {
    let (own, residents) = (&driver.own, driver.world.residents);
    let sta = match driver.rng.u8(..4) {
        0 => driver.world.main(),
        1 => &residents.sta,
        2 => &own.small,
        _ => &own.shy,
    };
    Ok(sta.create(Thing::new)?)
}

pub(super) fn made_and_dropped(driver: &mut Driver<'_>) -> Result<u64> {
    let object = make(driver)?;
    object.call(Thing::is_here)?;
    let weak = object.downgrade();
    ensure!(weak.upgrade().is_some_and(|again| again == object), "a reference that is held was not had again");
    let in_mta = driver.world.residents.mta.create(Shared::in_mta)?;
    in_mta.call(Shared::is_here)?;
    let free = driver.world.process.free_threaded(Shared::free())?;
    free.call(Shared::is_here)?;
    if let Some(entered) = driver.sta() {
        let own = entered.create(Thing::new)?;
        let local = own.local();
        ensure!(local.is_some_and(|local| local.proxy().is_ok_and(|proxy| proxy == own)), "not at home");
    }
    drop(object);
    ensure!(weak.upgrade().is_none(), "a reference that nobody holds was had again");
    Ok(6)
}

pub(super) fn packets(driver: &mut Driver<'_>) -> Result<u64> {
    let object = make(driver)?;
    let (packet, unused) = (object.marshal()?, object.marshal()?);
    let (strong, weak) = (object.marshal_table(Table::Strong)?, object.marshal_table(Table::Weak)?);
    drop(object);
    let again = packet.unmarshal()?;
    ensure!(strong.unmarshal()? == again && weak.unmarshal()? == again, "another object came out of a packet");
    again.call(Thing::is_here)?;
    drop((again, unused));
    // The table packet alone keeps it.
    weak.unmarshal()?.call(Thing::is_here)?;
    drop(strong);
    is!(failed(weak.unmarshal().map(drop))?, CallError::ObjectNotRegistered);
    Ok(3)
}

pub(super) fn table(driver: &mut Driver<'_>) -> Result<u64> {
    let object = make(driver)?;
    let table = driver.world.process.global_table();
    let others = driver.world.residents.process.global_table();
    let cookies = (0..4).map(|_| table.register(&object)).collect::<Result<Vec<_>, _>>()?;
    let resident = others.register(&object)?;
    drop(object);
    for cookie in &cookies {
        table.get(cookie)?.call(Thing::is_here)?;
    }
    for cookie in &cookies {
        table.revoke(cookie)?;
        is!(failed(table.get(cookie).map(drop))?, CallError::InvalidCookie);
    }
    others.get_as::<Thing, dyn Desk>(&resident)?.add(1)?;
    others.revoke(&resident)?;
    Ok(6)
}

pub(super) fn casts(driver: &mut Driver<'_>) -> Result<u64> {
    let object = make(driver)?;
    let desk = object.cast::<dyn Desk>();
    ensure!(desk == object && desk.query::<Thing>()? == object, "a cast leads to another object");
    is!(failed(desk.query::<Shared>().map(drop))?, CallError::NoInterface { .. });
    ensure!(desk.add(1)? == 2);
    Ok(2)
}

/// Its time is over though others still refer to it.
pub(super) fn disconnected(driver: &mut Driver<'_>) -> Result<u64> {
    let object = make(driver)?;
    object.call(Thing::is_here)?;
    object.disconnect()?;
    object.disconnect()?;
    let error = match driver.rng.bool() {
        true => failed(object.call_owned(|_| wrong("a disconnected object was called".into())))?,
        false => failed(object.cast::<dyn Desk>().add(1))?,
    };
    let CallError::Disconnected(told) = error else { bail!("{error}") };
    ensure!(told.why == WhyDisconnected::ObjectGone, "{told}");
    Ok(3)
}

/// By their class' name: each where its model wants it.
pub(super) fn of_classes(driver: &mut Driver<'_>) -> Result<u64> {
    let process = &driver.world.process;
    let class = CLASSES[driver.rng.usize(..CLASSES.len())];
    let made = process.create_instance::<dyn Desk>(class);
    let desk = match made {
        // It met the server's unloading.
        Err(CallError::ServerStopping) => return Ok(1),
        made => made?,
    };
    let apartment = desk.apartment();
    let kind = apartment.as_ref().map(Apartment::kind);
    match class {
        "Single" => ensure!(apartment.as_ref() == Some(driver.world.main().apartment()), "not in the main STA"),
        "Apartment" => ensure!(kind == Some(Kind::Sta), "in {kind:?}"),
        "Free" => ensure!(apartment.as_ref() == Some(driver.world.mta.apartment()), "not in the MTA"),
        _ => ensure!(apartment.is_none(), "in {apartment:?}"),
    }
    ensure!(desk.add(1)? == 2);
    drop(desk);
    let mut calls = 2;
    if driver.rng.u8(..4) == 0 {
        let unloaded = process.free_unused_servers(Duration::ZERO)?;
        ensure!(unloaded.is_empty() || unloaded == ["desks"], "{unloaded:?} were unloaded");
        calls += 1;
    }
    is!(failed(process.create_instance::<dyn Desk>("None").map(drop))?, CallError::ClassNotRegistered { .. });
    Ok(calls)
}
