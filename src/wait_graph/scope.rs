//! What a wait lets in: asked by the mailbox that looks, and by who wants to know whether a wait can go on.

use crate::describe::CallKind;
use crate::diagnose::HeldBy;
use crate::id::ChainId;

/// Which calls a wait lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    Everything,
    /// Those of the chains that are out, and of this one.
    Chains(Option<ChainId>),
    /// The wait for an input-synchronized call lets in others of that kind.
    InputSynchronized,
    /// Input-synchronized ones come in all the same: they do in every scope (rule CK-3).
    #[default]
    Nothing,
}

impl Scope {
    /// Whether it holds a call, and as what; `is_callback`: of a chain that is out.
    pub(crate) fn holds(self, kind: CallKind, chain: ChainId, is_callback: bool) -> Option<HeldBy> {
        match self {
            Self::Everything => None,
            _ if kind == CallKind::InputSynchronized => None,
            Self::Chains(served) if is_callback || served == Some(chain) => None,
            Self::InputSynchronized => Some(HeldBy::InputSynchronized),
            Self::Chains(_) | Self::Nothing => Some(HeldBy::Policy),
        }
    }
}

/// What a thread serves while it sleeps in a wait.
#[derive(Clone, Default)]
pub(crate) struct Lets {
    pub(crate) scope: Scope,
    /// Not even that: a filter's method or an input-synchronized call stands on its stack, or it is no STA's.
    pub(crate) nothing: bool,
    /// The apartment is about to end: once it drops its objects it lets in callbacks only, which its mailbox knows.
    pub(crate) leaving: bool,
    /// Whether its filter is asked about application messages.
    pub(crate) messages: bool,
    /// An event loop runs inside the wait, and dispatches: messages come in as in any loop.
    pub(crate) loops: bool,
    /// The chains that it has out.
    pub(crate) chains: Vec<ChainId>,
}

impl Lets {
    /// Whether such a call comes in.
    pub(crate) fn lets_in(&self, kind: CallKind, chain: ChainId) -> bool {
        let is_callback = || !kind.is_one_way() && self.chains.contains(&chain);
        !self.nothing && self.scope.holds(kind, chain, is_callback()).is_none()
    }
}
