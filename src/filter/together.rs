//! Filters made of filters: several as one, and whatever leads to one.

use super::{IncomingCall, MessageFilter, PendingAnswer, PendingMessage, RejectedCall, Retry, ServerCall};
use std::rc::Rc;

/// Whatever leads to a filter is one: what [`register_filter`](crate::register_filter) takes can also be kept, and be a
/// part of another.
macro_rules! leads_to_a_filter {
    ($($pointer:ty),*) => {$(
        impl<F: MessageFilter + ?Sized> MessageFilter for $pointer {
            fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
                (**self).handle_incoming(call)
            }

            fn retry_rejected(&self, call: &RejectedCall) -> Retry {
                (**self).retry_rejected(call)
            }

            fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
                (**self).message_pending(message)
            }
        }
    )*};
}

leads_to_a_filter!(&F, Rc<F>, Box<F>);

/// Several filters as one, see [`MessageFilter`].
macro_rules! together {
    ($($filter:ident),*) => {
        #[expect(non_snake_case, reason = "the names of the types serve for the values")]
        impl<$($filter: MessageFilter),*> MessageFilter for ($($filter,)*) {
            fn handle_incoming(&self, call: &IncomingCall) -> ServerCall {
                let ($($filter,)*) = self;
                $(match $filter.handle_incoming(call) {
                    ServerCall::Handled => {}
                    refuses => return refuses,
                })*
                ServerCall::Handled
            }

            fn retry_rejected(&self, call: &RejectedCall) -> Retry {
                let ($($filter,)*) = self;
                $(match $filter.retry_rejected(call) {
                    Retry::GiveUp => {}
                    tries_again => return tries_again,
                })*
                Retry::GiveUp
            }

            fn message_pending(&self, message: &PendingMessage) -> PendingAnswer {
                let ($($filter,)*) = self;
                let answer = PendingAnswer::wait_def_process();
                $(let answer = answer.and($filter.message_pending(message));)*
                answer
            }
        }
    };
}

together!(A, B);
together!(A, B, C);
together!(A, B, C, D);
