//! What a method of an interface cannot be, as far as it can be seen without knowing types. What cannot is left to the
//! traits that the expansion asks for, in `apartment`.

use crate::Mistakes;
use crate::interface::is_cfg;
use crate::method::{Kind, Method, Way};
use crate::types::Seen;
use proc_macro2::Ident;
use syn::spanned::Spanned;
use syn::{FnArg, GenericParam, PatType, Receiver, ReceiverKind, Safety, Type, WherePredicate};

impl Method {
    /// Notes what is wrong with it as a method of the interface.
    pub(crate) fn check(&self, interface: &Ident, mistakes: &mut Mistakes) {
        let signature = &self.signature;
        if let Some(token) = &signature.asyncness {
            let text = "a method of an interface cannot be `async`: the call runs to its end in the object's \
                        apartment, and the caller waits for its result";
            mistakes.at(token, text);
        }
        let plain = "a method of an interface is a plain `fn`";
        if let Some(token) = &signature.constness {
            mistakes.at(token, plain);
        }
        if let Safety::Safe(_) | Safety::Unsafe(_) = signature.safety {
            mistakes.at(&signature.safety, plain);
        }
        if let Some(abi) = &signature.abi {
            mistakes.at(abi, plain);
        }
        if let Some(dots) = &signature.variadic {
            mistakes.at(dots, plain);
        }
        for parameter in &signature.generics.params {
            if !matches!(parameter, GenericParam::Lifetime(_)) {
                let text = format!(
                    "a method of an interface cannot be generic: it is called through `dyn {interface}`; name the type, or \
                     take a `Box<dyn …>`"
                );
                mistakes.at(parameter, text);
            }
        }
        for predicate in signature.generics.where_clause.iter().flat_map(|clause| &clause.predicates) {
            if !matches!(predicate, WherePredicate::Lifetime(_)) {
                mistakes.at(predicate, "a method of an interface has no bounds on types: every object has all methods");
            }
        }
        self.check_receiver(mistakes);
        for input in &signature.inputs {
            let (FnArg::Typed(PatType { attrs, .. }) | FnArg::Receiver(Receiver { attrs, .. })) = input;
            if let Some(attribute) = attrs.iter().find(is_cfg) {
                mistakes.at(attribute, "an argument is there on both ends: put the `cfg` on the method");
            }
        }
        for ty in self.arguments() {
            self.check_argument(ty, interface, mistakes);
        }
        self.check_result(mistakes);
    }

    fn receiver(&self) -> Option<&Receiver> {
        match self.signature.inputs.first() {
            Some(FnArg::Receiver(receiver)) => Some(receiver),
            _ => None,
        }
    }

    fn check_receiver(&self, mistakes: &mut Mistakes) {
        let Some(receiver) = self.receiver() else {
            let text = "a method of an interface is called on an object: give it `&self`";
            mistakes.at(&self.signature.ident, text);
            return;
        };
        match &receiver.kind {
            ReceiverKind::Reference(_, None, None) => {}
            ReceiverKind::Reference(_, _, Some(_)) => {
                let text = "a method of an interface takes `&self`: its object may be called again while it waits; keep \
                            what changes in a `Cell` or a `RefCell`";
                mistakes.at(receiver, text);
            }
            ReceiverKind::Reference(_, Some(lifetime), None) => {
                let text = "nothing that a caller has can borrow from the object, which stays in its apartment: write \
                            `&self`";
                mistakes.at(lifetime, text);
            }
            _ => {
                let text = "a method of an interface takes `&self`: the object stays in its apartment";
                mistakes.at(receiver, text);
            }
        }
    }

    fn check_argument(&self, ty: &Type, interface: &Ident, mistakes: &mut Mistakes) {
        let seen = Seen::of(ty);
        if let Some(ty) = seen.impl_trait {
            let text = format!(
                "a method of an interface cannot take `impl …`: it is called through `dyn {interface}`; name the type, or \
                 take a `Box<dyn … + Send>`"
            );
            mistakes.at(ty, text);
        }
        if let Some(name) = seen.self_type {
            mistakes.at(name, "a caller does not know the object's type, `Self`: name a type, or take a `Proxy`");
        }
        if self.kind != Kind::OneWay {
            return;
        }
        // What the method is lent is copied for it; what it is given must be its own.
        let own = match self.way(ty) {
            Way::Changed | Way::ChangedOrNot => {
                let text = "a one-way method's caller does not wait, so nothing can come back through `&mut`: leave the \
                            `mut` out, or let the method be synchronous";
                mistakes.at(ty, text);
                return;
            }
            Way::Lent(reference) | Way::LentOrNot(reference) => Seen::of(&reference.elem),
            Way::Owned | Way::AsItIs => seen,
        };
        let borrowed = own.elided.or(own.named.map(Spanned::span));
        if let Some(span) = borrowed {
            let text =
                "a one-way method's caller does not wait, so what it sends cannot borrow: send what owns its data";
            mistakes.add(syn::Error::new(span, text));
        }
    }

    fn check_result(&self, mistakes: &mut Mistakes) {
        let Some(ty) = self.result() else {
            let text = "a method of an interface returns a `Result<_, E>` with an `E: From<CallError>`: a call can fail \
                        on its way";
            mistakes.at(&self.signature.ident, text);
            return;
        };
        let seen = Seen::of(ty);
        if let Some(ty) = seen.impl_trait {
            mistakes.at(ty, "a method of an interface cannot return `impl …`: name the type, or box it");
        }
        if let Some(name) = seen.self_type {
            mistakes.at(name, "a caller does not know the object's type, `Self`: name a type, or return a `Proxy`");
        }
        if let Some(span) = seen.elided {
            let text =
                "a result cannot borrow from the object, which stays in its apartment: return what owns its data";
            mistakes.add(syn::Error::new(span, text));
        }
    }
}
