use apartment::*;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[test]
fn hello() -> Result<(), Error> {
    let home = Sta::spawn("db")?;
    let db = home.create(|| Rc::new(String::from("hello")))?;
    let prefix = String::from("hel");
    assert_eq!(db.call(|s| s.strip_prefix(&*prefix).map(str::len))?, Some(2));
    Ok(())
}

#[test]
fn callback_depth_40() -> Result<(), Error> {
    let p = Process::new();
    let a = p.sta("a").spawn()?;
    let b = p.sta("b").spawn()?;
    let pa = a.create(|| ())?;
    let pb = b.create(|| ())?;
    fn go(n: u32, x: &Proxy<()>, y: &Proxy<()>) -> u32 {
        if n == 0 {
            return 0;
        }
        1 + x.call(|()| go(n - 1, y, x)).unwrap()
    }
    assert_eq!(go(40, &pa, &pb), 40);
    Ok(())
}

#[test]
fn mta_callbacks() -> Result<(), Error> {
    let p = Process::new();
    let mta = p.mta().threads(1).spawn()?;
    let a = p.sta("a").spawn()?;
    let pa = a.create(|| ())?;
    let m = mta.create(|| 5u32)?;
    let r = pa.call(|()| m.call(|n| pa.call(|()| m.call(|k| k + n).unwrap()).unwrap()).unwrap())?;
    assert_eq!(r, 10);
    Ok(())
}

#[test]
fn busy_and_timeouts() -> Result<(), Error> {
    let clock = Clock::driven();
    let p = Process::builder().clock(clock.clone()).record(1000).build();
    let a = p.sta("a").spawn()?;
    let c = a.create(|| RefCell::new(1))?;
    c.call_mut(|c| *c += 1)?;
    assert_eq!(c.call_ref(|c| *c)?, 2);
    let e = c.call_mut(|_| c.call_mut(|_| ()))?.unwrap_err();
    assert_eq!(e.hresult(), 0x8001_0109);
    let e = c.within(Duration::ZERO).call(|_| ()).unwrap_err();
    assert_eq!(e.hresult(), 0x8001_011F);
    let e = c.call(|_| panic!("oops")).unwrap_err();
    assert!(e.to_string().contains("oops"), "{e}");
    for e in p.recording().unwrap().events() {
        println!("{e:?}");
    }
    Ok(())
}
