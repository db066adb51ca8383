//! DG-3: what shows a recording is a function of its events, in canonical order.

use crate::stage::{Stage, gate, incoming, like, millis, play};
use apartment::{
    CallError, CallId, CallKind, CallOptions, CallRef, CancelHandle, ChainId, Diagram, Event, MessageClass, Proxy,
    Reentrancy, RejectedCall, Retry, ServerCall, Sta, ThreadId, Topic, What,
};
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::thread;

/// Numbers without a clock or a seed of the system's.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// What must have happened before an event, among the events before it: written anew, and as plainly as it can be.
fn needs(events: &[Event]) -> Vec<Vec<usize>> {
    let rejects = |event: &Event| match event.what {
        What::Filtered { answer, .. } => answer != ServerCall::Handled,
        What::Busy { .. } => true,
        _ => false,
    };
    let same_call = |a: &Event, b: &Event| a.call.zip(b.call).is_some_and(|(a, b)| a.id == b.id);
    let packet = |event: &Event| match &event.what {
        What::Packed { mark, .. } | What::Unpacked { mark, .. } | What::PacketDropped { mark } => Some(mark.packet),
        _ => None,
    };
    let before = |at: usize| (0..at).rev();
    let need = |at: usize| {
        let event = &events[at];
        let mut needs: Vec<usize> = Vec::new();
        needs.extend(before(at).find(|b| events[*b].thread == event.thread));
        needs.extend(before(at).find(|b| event.apartment.is_some() && events[*b].apartment == event.apartment));
        needs
            .extend(before(at).find(|b| same_call(&events[*b], event) && matches!(events[*b].what, What::CallMade(_))));
        let learns = matches!(event.what, What::WaitEnded { .. } | What::Returned { .. } | What::RetryAsked { .. });
        let tells = |event: &Event| {
            let ends = matches!(
                event.what,
                What::Ended { .. } | What::Revoked { .. } | What::Gone { .. } | What::CancelAsked { .. }
            );
            ends || rejects(event)
        };
        needs.extend(before(at).filter(|b| learns && same_call(&events[*b], event) && tells(&events[*b])));
        needs.extend(before(at).filter(|b| packet(event).is_some() && packet(&events[*b]) == packet(event)));
        needs
    };
    (0..events.len()).map(need).collect()
}

/// Any order in which these events could have come.
fn shuffled(events: &[Event], needs: &[Vec<usize>], dice: &mut Dice) -> Vec<Event> {
    let mut done = vec![false; events.len()];
    let mut shuffled = Vec::with_capacity(events.len());
    let mut ready: Vec<usize> = (0..events.len()).filter(|at| needs[*at].is_empty()).collect();
    let mut after: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    for (at, needs) in needs.iter().enumerate() {
        needs.iter().for_each(|need| after[*need].push(at));
    }
    let mut started: HashSet<usize> = ready.iter().copied().collect();
    while !ready.is_empty() {
        let at = ready.swap_remove(dice.below(ready.len()));
        done[at] = true;
        let seq = shuffled.len() as u64 + 1;
        shuffled.push(events[at].clone());
        shuffled.last_mut().unwrap().seq = seq;
        let next: Vec<usize> =
            after[at].iter().copied().filter(|next| needs[*next].iter().all(|need| done[*need])).collect();
        ready.extend(next.into_iter().filter(|next| started.insert(*next)));
    }
    assert_eq!(shuffled.len(), events.len());
    shuffled
}

/// The same events of threads that have other numbers, as they have in each run.
fn renamed(events: &[Event], dice: &mut Dice) -> Vec<Event> {
    let mut threads: Vec<ThreadId> = events.iter().map(|event| event.thread).collect();
    threads.sort();
    threads.dedup();
    let mut others = threads.clone();
    (1..others.len()).for_each(|at| others.swap(at, dice.below(at + 1)));
    let names: HashMap<ThreadId, ThreadId> = threads.into_iter().zip(others).collect();
    let id = |id: CallId| CallId { thread: names[&id.thread], ..id };
    let chain = |chain: ChainId| ChainId(id(chain.0));
    let rename = |event: &Event| {
        let mut event = event.clone();
        event.thread = names[&event.thread];
        event.call = event.call.map(|call| CallRef { id: id(call.id), chain: chain(call.chain), ..call });
        match &mut event.what {
            What::CallMade(made) => {
                made.parent = made.parent.map(id);
                made.from_chain = made.from_chain.map(chain);
            }
            What::Busy { holder } => *holder = holder.map(id),
            What::Packed { mark, .. } | What::Unpacked { mark, .. } | What::PacketDropped { mark } => {
                mark.packet.thread = names[&mark.packet.thread];
            }
            _ => {}
        }
        event
    };
    events.iter().map(rename).collect()
}

fn text(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{event:?}")).collect()
}

/// A busy play: rings of calls under two policies, posts, messages, refusals and retries, cancels, packets, a pool.
fn busy_play(stage: &Stage) -> Result<Vec<Event>, CallError> {
    fn around(depth: usize, next: usize, ring: &[Proxy<Cell<u32>>], pool: &Proxy<u8>) {
        if depth > 0 {
            let retries = CallOptions::new().retry(|_: &RejectedCall| Retry::Now);
            ring[(next + 1) % 3].post(|n| n.set(n.get() + 1)).unwrap();
            pool.call(|_| ()).unwrap();
            ring[next % 3].with(&retries).call(|_| around(depth - 1, next + 1, ring, pool)).unwrap();
        }
    }
    let filter = || {
        let asked = Cell::new(0);
        incoming(move |call| {
            asked.set(asked.get() + 1);
            let refuses = call.kind == CallKind::Synchronous && asked.get() % 4 == 1;
            if refuses { ServerCall::RetryLater } else { ServerCall::Handled }
        })
    };
    let stas: [Sta; 3] = [
        stage.sta("0").filter(filter).spawn()?,
        stage.sta("1").reentrancy(Reentrancy::SameCausality).spawn()?,
        stage.sta("2").spawn()?,
    ];
    let mta = stage.mta().threads(3).spawn()?;
    let pool = &mta.create(|| 1)?;
    let ring = &stas.each_ref().map(|sta| sta.create(|| Cell::new(0)).unwrap());
    let windows = &stas.each_ref().map(|sta| sta.apartment().clone());
    let (key, held) = gate();
    ring[2].post(move |_| held.pass())?;
    stage.until_nth(2, stas[2].apartment(), like!(Began));
    let cancel = &CancelHandle::new();
    thread::scope(|s| {
        let options = move || CallOptions::new().cancel(cancel);
        let cancelled = s.spawn(move || ring[2].with(&options()).call(|_| ()).unwrap_err());
        let late = s.spawn(|| ring[2].within(millis(100)).call(|_| ()).unwrap_err());
        stage.until_nth(4, stas[2].apartment(), like!(Queued));
        cancel.cancel();
        cancelled.join().unwrap();
        stage.clock.advance(millis(100));
        late.join().unwrap();
        key.open();
        s.spawn(|| ring[0].marshal().unwrap().unmarshal().unwrap());
        for (first, window) in windows.iter().enumerate().take(2) {
            s.spawn(move || {
                for round in 0..3 {
                    stage.process.note(format!("round {round}"));
                    window.post_message(MessageClass::Paint, || ()).unwrap();
                    around(3, first, &ring[..], pool);
                    stage.clock.advance(millis(1));
                }
            });
        }
    });
    Ok(stage.events())
}

#[test]
fn dg_3_any_interleaving_has_one_canonical_form() {
    play(|stage| {
        let events = busy_play(stage)?;
        let needs = needs(&events);
        let (canonical, drawn) = (text(&Event::canonical(&events)), Diagram::of(&events).verbose().to_string());
        let mut dice = Dice(7);
        let mut orders = HashSet::new();
        for _ in 0..100 {
            let shuffled = renamed(&shuffled(&events, &needs, &mut dice), &mut dice);
            orders.insert(shuffled.iter().map(|event| (event.at, event.frame, event.apartment)).collect::<Vec<_>>());
            let again = text(&Event::canonical(&shuffled));
            let differs = canonical.iter().zip(&again).find(|(a, b)| a != b);
            assert!(differs.is_none(), "{differs:#?}");
            assert_eq!(Diagram::of(&shuffled).verbose().to_string(), drawn);
        }
        assert_eq!(orders.len(), 100, "they were different orders");
        Ok(())
    });
}

#[test]
fn dg_3_canonical_order_keeps_what_the_rules_fix() {
    play(|stage| {
        let events = busy_play(stage)?;
        let needs = needs(&events);
        let mut marked = events.clone();
        for (event, mark) in marked.iter_mut().zip(0..) {
            // The play's times go with its order; without them only the lanes decide. The depth carries a mark.
            (event.at, event.frame) = (millis(0), mark);
        }
        let canonical = Event::canonical(&marked);
        assert!(canonical.iter().map(|event| event.seq).eq(1..=events.len() as u64));
        let mut place = vec![0; events.len()];
        canonical.iter().enumerate().for_each(|(at, event)| place[usize::from(event.frame)] = at);
        let mut orders = 0;
        for (at, needs) in needs.iter().enumerate() {
            for need in needs {
                assert!(place[*need] < place[at], "{:?} before {:?}", events[*need], events[at]);
                orders += 1;
            }
        }
        assert!(orders > events.len(), "there was something to keep");
        Ok(())
    });
}

#[test]
fn dg_3_numbers_are_given_by_appearance() {
    play(|stage| {
        // Apartments, threads and calls that have come and gone.
        for _ in 0..3 {
            stage.sta("before").spawn()?.create(|| ())?;
        }
        let word = stage.sta("word").spawn()?;
        let letter = word.create(|| ())?;
        stage.begin();
        letter.call(|()| ())?;
        letter.call(|()| ())?;
        let canonical = Event::canonical(&stage.events());
        let made: Vec<_> = canonical.iter().filter(|event| matches!(event.what, What::CallMade(_))).collect();
        let ids = |event: &&Event| {
            let call = event.call.unwrap();
            (call.id.thread.get(), call.id.count, call.chain.0 == call.id)
        };
        assert_eq!(made.iter().map(ids).collect::<Vec<_>>(), [(1, 1, true), (1, 2, true)]);
        let apartments: HashSet<_> = canonical.iter().filter_map(|event| event.apartment).map(|id| id.get()).collect();
        assert_eq!(apartments, [1].into());
        let What::CallMade(call) = &made[0].what else { panic!("{:?}", made[0]) };
        assert_eq!(call.to.map(|id| id.get()), Some(1));
        Ok(())
    });
}

#[test]
fn dg_3_a_recording_with_holes_is_drawn_as_well_as_can_be() {
    play(|stage| {
        let events = busy_play(stage)?;
        let mut dice = Dice(11);
        for share in [2, 5, 20] {
            for _ in 0..20 {
                let kept: Vec<_> = events.iter().filter(|_| dice.below(share) > 0).cloned().collect();
                let drawn = Diagram::of(&kept).verbose().to_string();
                assert!(drawn.lines().count() > kept.len() / 3, "{drawn}");
            }
        }
        // Begun and ended anywhere.
        for _ in 0..20 {
            let (a, b) = (dice.below(events.len()), dice.below(events.len()));
            let part = &events[a.min(b)..a.max(b)];
            assert_eq!(Event::canonical(part).len(), part.len());
            let _drawn = Diagram::of(part).to_string();
        }
        assert_eq!(Diagram::of(&[]).to_string(), "nothing happened\n");
        Ok(())
    });
}

#[test]
fn dg_3_a_lost_end_costs_no_more_than_its_own_band() {
    play(|stage| {
        let (word, excel) = (stage.sta("word").spawn()?, stage.sta("excel").spawn()?);
        let (letter, sheet) = (word.create(|| 'a')?, excel.create(|| 1)?);
        stage.begin();
        letter.call(|_| sheet.call(|_| ()).unwrap())?;
        letter.call(|_| ())?;
        let mut events = stage.events();
        let ended =
            |event: &Event| event.apartment == Some(word.apartment().id()) && matches!(event.what, What::Ended { .. });
        // The first call's end, its answer, and the end of the wait within it are lost.
        let lost: Vec<u64> = events.iter().filter(|event| ended(event)).take(1).map(|event| event.seq).collect();
        events.retain(|event| !lost.contains(&event.seq) && !matches!(event.what, What::WaitEnded { .. }));
        let drawn = Diagram::of(&events).to_string();
        let last = drawn.lines().last().unwrap();
        assert!(last.contains("│◀╌╌") && last.contains("╌┃"), "{drawn}");
        assert!(!drawn.contains("still"), "nothing seems to be open: {drawn}");
        Ok(())
    });
}

#[test]
fn dg_3_what_is_still_open_is_said() {
    play(|stage| {
        let word = stage.sta("word").spawn()?;
        let letter = word.create(|| 'a')?;
        let (key, gate) = gate();
        stage.begin();
        letter.post(move |_| gate.pass())?;
        stage.until(word.apartment(), like!(Began));
        thread::scope(|s| {
            s.spawn(|| letter.call(|_| ()).unwrap());
            stage.until_nth(2, word.apartment(), like!(Queued));
            let drawn = stage.process.recording().unwrap().diagram().to_string();
            assert!(drawn.contains("still serves post char"), "{drawn}");
            assert!(drawn.contains("still waits for the reply of call char"), "{drawn}");
            key.open();
        });
        Ok(())
    });
}

#[test]
fn dg_3_equal_long_and_wide_names_are_told_apart_and_stay_straight() {
    play(|stage| {
        let names = ["書類", "same", "same", "a name that nobody would want to read to its end", "two\nlines"];
        let stas = names.map(|name| stage.sta(name).spawn().unwrap());
        let objects = stas.each_ref().map(|sta| sta.create(|| ()).unwrap());
        stage.begin();
        fn along(objects: &[Proxy<()>]) {
            if let [first, rest @ ..] = objects {
                first.call(|()| along(rest)).unwrap();
            }
        }
        along(&objects);
        let drawn = Diagram::of(&stage.process.recording().unwrap().events()).to_string();
        let head = drawn.lines().next().unwrap();
        for name in ["書類", "same 1", "same 2", "a name that nobody …", "two\\nlines"] {
            assert!(head.contains(name), "{name}: {head}");
        }
        // Each lane stands in one column, below the middle of its name; two of the characters are two columns wide.
        let bars = drawn.lines().skip(1).flat_map(|row| row.chars().enumerate().filter(|(_, c)| "│┃┆╎".contains(*c)));
        let lanes: BTreeSet<usize> = bars.map(|(at, _)| at).collect();
        let columns = |text: &str| text.chars().map(|c| if "書類".contains(c) { 2 } else { 1 }).sum::<usize>();
        let shown = ["main", "書類", "same 1", "same 2", "a name that nobody …", "two\\nlines"];
        assert_eq!(lanes.len(), shown.len(), "{drawn}");
        for (name, lane) in shown.into_iter().zip(lanes) {
            let start = columns(head.split(name).next().unwrap());
            assert_eq!(start + columns(name) / 2, lane, "{name}: {drawn}");
        }
        Ok(())
    });
}

#[test]
fn dg_3_hostile_names_neither_break_a_line_nor_are_taken_for_others() {
    play(|stage| {
        let long = "a name that nobody would want to read to its end";
        let names = [
            "",
            "\u{301}\u{301}",
            "same",
            "same",
            "same 1",
            long,
            long,
            "👩\u{200d}👩\u{200d}👧 ❤\u{fe0f}",
            "a\u{2028}b",
            "\u{202e}rtl",
            "\t\0\r\n\u{85}",
        ];
        let stas = names.map(|name| stage.sta(name).spawn().unwrap());
        for sta in &stas {
            sta.create(|| ())?.call(|()| ())?;
        }
        stage.process.note("");
        stage.process.note("two\nlines \u{202e}");
        let drawn = Diagram::of(&stage.process.recording().unwrap().events()).verbose().to_string();
        assert!(!drawn.contains(['\u{202e}', '\u{2028}', '\r', '\t', '\u{85}', '\0']));
        let head = drawn.lines().next().unwrap();
        for name in ["same 1", "same 2", "same 3", "a name that nobody … 1", "a name that nobody … 2", "a\\u{2028}b"]
        {
            assert_eq!(head.matches(name).count(), 1, "{name}: {head}");
        }
        Ok(())
    });
}

#[test]
fn dg_3_whatever_is_left_of_a_recording_can_be_drawn() {
    play(|stage| {
        let lost = |seq: u64, like: &Event| {
            let mut event = like.clone();
            (event.seq, event.what) = (seq, What::Lost { count: u64::MAX });
            event
        };
        let events = busy_play(stage)?;
        // Only what says that something was lost.
        let only: Vec<_> = (1..5).map(|seq| lost(seq, &events[0])).collect();
        let drawn = Diagram::of(&only).to_string();
        assert_eq!(drawn.lines().filter(|line| line.contains("events lost here")).count(), 4, "{drawn}");
        assert_eq!(Event::canonical(&only).len(), 4);
        // Every event by itself, and every one missing; all of one number; backwards; a number twice.
        for (at, event) in events.iter().enumerate() {
            let _alone = Diagram::of(std::slice::from_ref(event)).verbose().to_string();
            if at % 40 == 0 {
                let mut without = events.clone();
                without[at] = lost(event.seq, event);
                let _gap = Diagram::of(&without).verbose().to_string();
            }
        }
        let mut same: Vec<_> = events.iter().take(300).cloned().collect();
        same.iter_mut().for_each(|event| event.seq = 1);
        let _same = Diagram::of(&same).verbose().to_string();
        same.iter_mut().for_each(|event| event.thread = events[0].thread);
        let _one_thread = Diagram::of(&same).verbose().to_string();
        let backwards: Vec<_> = events.iter().rev().cloned().collect();
        assert_eq!(Diagram::of(&backwards).to_string(), Diagram::of(&events).to_string());
        let twice: Vec<_> = events.iter().chain(&events).cloned().collect();
        let _twice = Diagram::of(&twice).verbose().to_string();
        let _beyond = Diagram::of(&events).since(u64::MAX).to_string();
        Ok(())
    });
}

#[test]
fn dg_3_a_hundred_lanes_are_drawn() {
    play(|stage| {
        let stas: Vec<Sta> = (0..100).map(|n| stage.sta(&format!("sta {n}")).spawn().unwrap()).collect();
        let objects: Vec<_> = stas.iter().map(|sta| sta.create(|| ()).unwrap()).collect();
        stage.begin();
        fn along(objects: &[Proxy<()>]) {
            if let [first, rest @ ..] = objects {
                first.call(|()| along(rest)).unwrap();
            }
        }
        along(&objects);
        let drawn = Diagram::of(&stage.events()).to_string();
        assert_eq!(drawn.lines().count(), 201, "a line of names, a call and an answer for each");
        Ok(())
    });
}

#[test]
fn dg_3_a_diagram_shows_and_hides_by_topic() {
    play(|stage| {
        let word = stage.sta("word").filter(|| incoming(|_| ServerCall::Handled)).spawn()?;
        let letter = word.create(|| 'a')?;
        letter.call(|_| ())?;
        stage.process.note("a note");
        let all = || Diagram::of(&stage.events());
        let brief = all().to_string();
        assert!(brief.contains("call char") && brief.contains("filter: TopLevel, Handled"), "{brief}");
        assert!(brief.contains("── a note ──") && !brief.contains("enters word"), "{brief}");
        assert!(all().show(Topic::Lives).to_string().contains("enters word"));
        assert!(!all().show(Topic::Lives).to_string().contains("object 1"));
        assert!(!all().hide(Topic::Notes).to_string().contains("a note"));
        assert!(!all().hide(Topic::Filters).to_string().contains("Handled"));
        assert!(!all().hide(Topic::Calls).hide(Topic::Filters).to_string().contains("call char"));
        let verbose = all().verbose().to_string();
        assert!(verbose.contains("enters word") && verbose.contains("object 1 (char) made"), "{verbose}");
        let noted = stage.until_any(|event| matches!(event.what, What::Note { .. }));
        assert_eq!(all().since(noted.seq).to_string(), "nothing happened\n");
        let named = all().named(noted.thread, "customer").to_string();
        assert!(named.lines().next().unwrap().contains("customer"), "{named}");
        Ok(())
    });
}
