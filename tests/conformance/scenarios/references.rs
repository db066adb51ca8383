//! References on their way, and classes.

use super::cast::{Chart, Letter, Table, Workbook};
use crate::harness::{Play, scenarios};
use crate::stage::like;
use apartment::{CallError, Class, Proxy, Topic, implements};

scenarios! {
    /// `excel` packs a reference, `word` unpacks it and calls through it.
    ma_2_packet_is_carried: "A reference travels in a packet", ["MA-2", "MA-1"];
    /// A weak packet does not keep the object; unpacked after its end it says so.
    ma_3_weak_packet_outlives_the_object: "A weak packet outlives its object", ["MA-3", "LT-1"];
    /// The entry keeps the object, until it is revoked from another apartment.
    ma_8_entry_is_revoked: "An entry of the global table is revoked", ["MA-8", "LT-1"];
    /// An object of all apartments is called on the caller's own thread.
    ma_7_free_threaded_object: "A free-threaded object is called from two apartments", ["MA-7"];
    /// A class without a threading model lives in the main STA, whoever makes its objects.
    cl_2_single_from_another_sta: "An object of a Single class, made by another STA", ["CL-2", "CL-4"];
    /// The MTA makes an object of a class that wants an STA: the library makes an STA for it.
    cl_2_apartment_from_the_mta: "An object of an Apartment class, made by the MTA", ["CL-2", "CL-3"];
    /// An STA makes an object of a class that wants no STA: it is made in the MTA.
    cl_2_free_from_an_sta: "An object of a Free class, made by an STA", ["CL-2", "DI-4"];
}

fn ma_2_packet_is_carried(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    stage.show(Topic::Packets);
    stage.begin();
    let packet = sheet.call(|_| sheet.marshal())??;
    letter.call(|_| packet.unmarshal()?.call(|_| ()))??;
    stage.end();
    Ok(())
}

fn ma_3_weak_packet_outlives_the_object(stage: &Play) -> Result<(), CallError> {
    let excel = stage.sta("excel").spawn()?;
    let chart = excel.create(|| Chart)?;
    stage.show(Topic::Packets);
    stage.begin();
    let packet = chart.marshal_table(apartment::Table::Weak)?;
    packet.unmarshal()?.call(|_| ())?;
    stage.later();
    drop(chart);
    stage.until(excel.apartment(), like!(ObjectDropped));
    stage.later();
    let error = packet.unmarshal().unwrap_err();
    assert!(matches!(error, CallError::ObjectNotRegistered), "{error}");
    stage.end();
    Ok(())
}

fn ma_8_entry_is_revoked(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, chart) = (word.create(|| Letter)?, excel.create(|| Chart)?);
    let table = stage.process.global_table();
    stage.show(Topic::Packets);
    stage.begin();
    let cookie = table.register(&chart)?;
    drop(chart);
    stage.later();
    let uses = || {
        table.get(&cookie)?.call(|_| ())?;
        stage.later();
        table.revoke(&cookie)
    };
    letter.call(|_| uses())??;
    stage.until(excel.apartment(), like!(ObjectDropped));
    stage.later();
    let error = letter.call(|_| table.get(&cookie).map(drop).unwrap_err())?;
    assert!(matches!(error, CallError::InvalidCookie), "{error}");
    stage.end();
    Ok(())
}

fn ma_7_free_threaded_object(stage: &Play) -> Result<(), CallError> {
    let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
    let (letter, sheet) = (word.create(|| Letter)?, excel.create(|| Workbook)?);
    let table = stage.process.free_threaded(Table)?;
    stage.begin();
    letter.call(|_| table.call(|_| ()))??;
    sheet.call(|_| table.call(|_| ()))??;
    stage.end();
    Ok(())
}

struct Part;
implements!(Part);

/// Makes an object of the class and calls it, on that proxy's thread.
fn made<T: 'static>(stage: &Play, by: &Proxy<T>, class: Class) -> Result<(), CallError> {
    stage.process.register_class("Part", class)?;
    stage.begin();
    let makes = || {
        let part: Proxy<Part> = stage.process.create_instance("Part")?;
        part.call(|_| ())?;
        Ok::<_, CallError>(part)
    };
    let _part = by.call(|_| makes())??;
    stage.end();
    Ok(())
}

fn cl_2_single_from_another_sta(stage: &Play) -> Result<(), CallError> {
    let (_main, word) = (stage.sta("main sta").spawn()?, stage.sta("word").spawn()?);
    made(stage, &word.create(|| Letter)?, Class::single(|| Part))
}

fn cl_2_apartment_from_the_mta(stage: &Play) -> Result<(), CallError> {
    let (_main, mta) = (stage.sta("main sta").spawn()?, stage.mta().spawn()?);
    made(stage, &mta.create(|| Letter)?, Class::apartment(|| Part))
}

fn cl_2_free_from_an_sta(stage: &Play) -> Result<(), CallError> {
    let (word, _mta) = (stage.sta("word").spawn()?, stage.mta().threads(1).spawn()?);
    made(stage, &word.create(|| Letter)?, Class::free(|| Part))
}
