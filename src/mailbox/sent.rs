//! What a post or an application message runs: a closure of anybody's type, in its entry itself unless it is large.

use smallbox::{SmallBox, smallbox};
use std::any::Any;

/// The closure of a post, which gets the object, or of an application message, which gets nothing.
pub(crate) trait Closure: Send + Sized + 'static {
    /// Runs it; gives it back unrun if its object takes no calls any more.
    fn run(self, object: &dyn Any) -> Option<Self>;
}

/// A closure of 64 bytes, with the view and the stub that a post adds to it. What is larger asks for memory.
type Inline = ([u64; 8], [usize; 2]);

/// A closure on its way. It can be had back as what it was: a refused sender gets its own.
pub(crate) struct Sent(SmallBox<dyn Erased, Inline>);

/// A closure, until it has run.
trait Erased: Send {
    fn run(&mut self, object: &dyn Any) -> bool;
    fn as_any(&mut self) -> &mut dyn Any;
}

impl<C: Closure> Erased for Option<C> {
    fn run(&mut self, object: &dyn Any) -> bool {
        let Some(closure) = self.take() else { crate::broken("what was sent runs once") };
        *self = closure.run(object);
        self.is_none()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Sent {
    pub(crate) fn new(closure: impl Closure) -> Self {
        Self(smallbox!(Some(closure)))
    }

    /// Runs it, once. False if its object takes no calls any more: it is still here then.
    pub(crate) fn run(&mut self, object: &dyn Any) -> bool {
        self.0.run(object)
    }

    /// A refused one as what it was.
    pub(crate) fn give_back<C: Closure>(mut self) -> C {
        let closure = self.0.as_any().downcast_mut::<Option<C>>().and_then(Option::take);
        closure.unwrap_or_else(|| crate::broken("a refused closure is the one that was sent"))
    }
}
