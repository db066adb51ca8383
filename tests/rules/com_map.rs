//! `docs/com-map.md` is complete and true: every name of the three texts has a row, every alias in the documentation is
//! in it, its numbers are those that the errors give, and what it says is here is here.

use crate::errors;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names in the article on `RPC_E_SYS_CALL_FAILED`.
const S1: &str = "RPC_E_SYS_CALL_FAILED WaitForSingleObject DuplicateHandle PostMessage";

/// The names in KB Q305661.
const S2: &str = "IMessageFilter IMessageFilter::HandleInComingCall HandleInComingCall SERVERCALL_RETRYLATER";

/// The names in chapter 6 of the COM specification, by section. Misprints are corrected, but for two names that it
/// spells in a way of its own; members that some copies only describe are named.
const S3: &str = "
    CoInitialize CoInitializeEx COINIT_APARTMENTTHREADED COINIT_MULTITHREADED dwCoInit
    CoMarshalInterThreadInterfaceInStream CoGetInterfaceAndReleaseStream CoMarshalInterface CoUnmarshalInterface
    CoCreateInstance ORPC InprocServer32 ThreadingModel Both
    DllGetClassObject DllCanUnloadNow CoGetClassObject CoFreeUnusedLibraries InterlockedIncrement InterlockedDecrement
    IMessageFilter IAdviseSink IUnknown IStorage IStream IViewObject::Freeze IStorage::Revert
    CoRegisterMessageFilter WM_QUERYENDSESSION WM_ENDSESSION WM_PAINT SendMessage LRPC TRUE FALSE NULL OLEUIBUSY OLEDLG
    GetTickCount IUnknown::QueryInterface IUnknown::AddRef IUnknown::Release QueryInterface AddRef Release
    IMessageFilter::HandleInComingCall HandleInComingCall HandleIncomingCall
    IMessageFilter::RetryRejectedCall RetryRejectedCall IMessageFilter::MessagePending MessagePending
    dwCallType threadIDCaller threadIDCallee dwTickCount lpInterfaceInfo dwPendingType dwRejectType
    RPC_E_CALL_REJECTED RPC_E_CALL_CANCELED RPC_E_CALL_CANCELLED
    CoCreateFreeThreadedMarshaler IMarshal IID_IMarshal MSHCTX MSHCTX_INPROC dwDestContext punkOuter ppunkMarshaler
    RPC_E_WRONG_THREAD E_OUTOFMEMORY E_INVALIDARG S_OK pStm riid ppv pUnk ppStm
    INTERFACEINFO tagINTERFACEINFO INTERFACEINFO::pUnk INTERFACEINFO::iid INTERFACEINFO::wMethod
    CALLTYPE tagCALLTYPE CALLTYPE_TOPLEVEL CALLTYPE_NESTED CALLTYPE_ASYNC CALLTYPE_TOPLEVEL_CALLPENDING
    CALLTYPE_ASYNC_CALLPENDING
    PENDINGMSG tagPENDINGMSG PENDINGMSG_CANCELCALL PENDINGMSG_WAITNOPROCESS PENDINGMSG_WAITDEFPROCESS
    PENDINGTYPE tagPENDINGTYPE PENDINGTYPE_TOPLEVEL PENDINGTYPE_NESTED
    SERVERCALL tagSERVERCALL SERVERCALL_ISHANDLED SERVERCALL_REJECTED SERVERCALL_RETRYLATER
    HRESULT DWORD WORD HTASK IID REFIID LPUNKNOWN LPSTREAM LPVOID LPINTERFACEINFO";

/// What the map names that is Rust's and not this crate's.
const RUST_S: [&str; 11] = [
    "==",
    "Clone",
    "Drop",
    "Option",
    "Result",
    "Send",
    "Send + Sync",
    "dyn Trait",
    "u32",
    "as one_way",
    "as input_sync",
];

/// A row: what COM calls it, the HRESULT if its table has them, where it is from, and what is here.
struct Row {
    com: String,
    hresult: Option<String>,
    from: String,
    here: String,
}

impl Row {
    fn names(&self) -> Vec<&str> {
        code(&self.com)
    }
}

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of all tables.
fn rows() -> Vec<Row> {
    let map = read("docs/com-map.md");
    let mut rows = Vec::new();
    for line in map.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        if cells[0] == "COM" || cells[0].starts_with("---") {
            continue;
        }
        rows.push(match &cells[..] {
            [com, from, here] => Row { com: com.into(), hresult: None, from: from.into(), here: here.into() },
            [com, hresult, from, here] => {
                Row { com: com.into(), hresult: Some(hresult.into()), from: from.into(), here: here.into() }
            }
            _ => panic!("a row of {} cells: {line}", cells.len()),
        });
    }
    assert!(rows.len() > 200, "{} rows", rows.len());
    rows
}

/// What stands between backticks.
fn code(text: &str) -> Vec<&str> {
    assert!(text.matches('`').count().is_multiple_of(2), "{text}");
    text.split('`').skip(1).step_by(2).collect()
}

/// All source files of the crate, and of the crate with its macros.
fn sources() -> Vec<String> {
    fn walk(dir: &Path, all: &mut Vec<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, all);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push(read(&path));
            }
        }
    }
    let mut all = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut all);
    all
}

/// Where a word stands in a text, as a word: what is before it and what is behind it.
fn occurrences<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .map(move |(at, _)| (&text[..at], &text[at + word.len()..]))
        .filter(move |(before, behind)| !before.ends_with(inside) && !behind.starts_with(inside))
}

/// Whether a source file declares a thing of that name: an item, a method, a field or a variant.
fn declares(source: &str, name: &str) -> bool {
    const BEFORE: [&str; 8] = ["fn ", "struct ", "enum ", "trait ", "type ", "const ", "macro_rules! ", "pub "];
    occurrences(source, name).any(|(before, behind)| {
        let line = before.rsplit('\n').next().unwrap_or(before);
        let variant = line.trim().is_empty() && behind.trim_start().starts_with([',', '(', '{', '=']);
        variant || BEFORE.iter().any(|keyword| line.ends_with(keyword)) && !line.contains("//")
    })
}

/// Whether a file is about a type: declares it, or has an `impl` of it.
fn is_about(source: &str, name: &str) -> bool {
    declares(source, name)
        || occurrences(source, name).any(|(before, _)| before.rsplit('\n').next().unwrap_or(before).starts_with("impl"))
}

/// The kind of an error, as the map writes it.
fn variant(error: &apartment::CallError) -> String {
    let debug = format!("{error:?}");
    let end = if debug.starts_with("CantCallOut") { debug.find(')').map(|at| at + 1) } else { debug.find(['(', ' ']) };
    debug[..end.unwrap_or(debug.len())].to_owned()
}

#[test]
fn the_com_map_has_a_row_for_every_name_of_the_three_texts() {
    let rows = rows();
    let names: BTreeSet<_> = rows.iter().flat_map(Row::names).collect();
    let missing: Vec<_> = [S1, S2, S3].iter().flat_map(|list| list.split_whitespace()).collect();
    assert!(missing.len() > 100, "{} names", missing.len());
    let missing: Vec<_> = missing.into_iter().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "docs/com-map.md has no row for {missing:?}");
}

#[test]
fn the_com_map_says_of_every_name_which_text_it_is_from() {
    for row in rows().iter().filter(|row| !row.names().is_empty()) {
        let named_by = |list: &str, name: &str| list.split_whitespace().any(|listed| listed == name);
        let mut from = Vec::new();
        for (mark, list) in [("S1", S1), ("S2", S2), ("S3", S3)] {
            if row.names().iter().any(|name| named_by(list, name)) {
                from.push(mark);
            }
        }
        if row.names().iter().any(|name| ![S1, S2, S3].iter().any(|list| named_by(list, name))) {
            from.push("W");
        }
        assert_eq!(row.from, from.join(" "), "{}", row.com);
    }
}

#[test]
fn the_com_map_gives_an_item_or_a_reason_in_every_row() {
    for row in rows() {
        assert!(!row.com.is_empty() && !row.here.is_empty() && !row.from.is_empty(), "{} {}", row.com, row.here);
        assert!(row.from.split(' ').all(|mark| ["S1", "S2", "S3", "W"].contains(&mark)), "{}: {}", row.com, row.from);
        assert!(row.here != "none" && row.here != "none:", "{}: a reason is wanted", row.com);
    }
}

#[test]
fn the_com_map_has_every_alias_of_the_documentation() {
    let com: String = rows().iter().map(|row| row.com.to_lowercase() + "\n").collect();
    let mut aliases = BTreeSet::new();
    for source in sources() {
        for attribute in source.split("doc(alias").skip(1) {
            let attribute = attribute.split(']').next().unwrap_or(attribute);
            aliases.extend(attribute.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    assert!(aliases.len() > 40, "{aliases:?}");
    let missing: Vec<_> =
        aliases.iter().filter(|alias| occurrences(&com, &alias.to_lowercase()).next().is_none()).collect();
    assert!(missing.is_empty(), "docs/com-map.md has no row for the aliases {missing:?}");
}

#[test]
fn the_com_map_names_only_what_is_there() {
    let sources = sources();
    let mut missing = Vec::new();
    for row in rows() {
        // What is not there yet is said so in the same clause.
        for clause in row.here.split(';').filter(|clause| !clause.contains("*not yet*")) {
            for name in code(clause) {
                if RUST_S.contains(&name) || name.starts_with("std::") {
                    continue;
                }
                let path = name.split(['(', '!']).next().unwrap_or(name);
                let there = match path.split_once("::") {
                    Some((of, item)) => {
                        sources.iter().any(|source| is_about(source, of) && declares(source, item))
                            && sources.iter().any(|source| declares(source, of))
                    }
                    None => sources.iter().any(|source| declares(source, path)),
                };
                if !there {
                    missing.push(format!("`{name}`, beside {}", row.com));
                }
            }
        }
    }
    assert!(missing.is_empty(), "docs/com-map.md names what is not there: {missing:#?}");
}

#[test]
fn the_com_map_s_numbers_are_those_of_the_errors() {
    let mut unseen: BTreeSet<_> = errors::all().iter().map(|(error, ..)| variant(error)).collect();
    for row in rows() {
        let Some(hresult) = &row.hresult else { continue };
        let numbers: Vec<_> = hresult
            .split(", ")
            .map(|number| u32::from_str_radix(number, 16).unwrap_or_else(|_| panic!("{}: {number}", row.com)))
            .collect();
        let named: Vec<_> = code(&row.here);
        let of_ours: Vec<_> = errors::all().into_iter().filter(|(_, number, ..)| numbers.contains(number)).collect();
        for (error, ..) in &of_ours {
            assert!(named.contains(&&*variant(error)), "{}: {} has this number", row.com, variant(error));
            assert_eq!(numbers, [error.hresult()], "{}", row.com);
            unseen.remove(&variant(error));
        }
        if !of_ours.is_empty() {
            let known: Vec<_> = of_ours.iter().map(|(error, ..)| variant(error)).collect();
            assert!(named.iter().all(|name| known.iter().any(|known| known == name)), "{}: {named:?}", row.com);
        }
    }
    assert!(unseen.is_empty(), "docs/com-map.md has no number for {unseen:?}");
}

#[test]
fn one_of_each_error_is_looked_at() {
    let source = read("src/error.rs");
    let body = source.split("pub enum CallError {").nth(1).unwrap().split("\n}").next().unwrap();
    let declared: BTreeSet<_> = body
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase))
        .map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or(line))
        .collect();
    let looked_at: BTreeSet<_> = errors::all().iter().map(|(error, ..)| variant(error)).collect();
    let looked_at: BTreeSet<_> = looked_at.iter().map(|variant| variant.split('(').next().unwrap_or(variant)).collect();
    assert_eq!(declared, looked_at);
}
