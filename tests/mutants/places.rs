//! Where in a file the things are that mutants change.

use crate::mutant::Place;
use proc_macro2::{LineColumn, Span};
use std::collections::HashMap;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// By where cargo-mutants says that they begin.
#[derive(Default)]
pub(crate) struct Places {
    /// By its operator: a binary expression.
    pub(crate) binary: HashMap<Place, Binary>,
    /// By its operator: where the operand ends.
    pub(crate) unary: HashMap<Place, Place>,
    /// By its pattern.
    pub(crate) arms: HashMap<Place, Arm>,
    /// By its name: of an expression that takes its other fields from elsewhere.
    pub(crate) fields: HashMap<Place, Field>,
}

pub(crate) struct Binary {
    pub(crate) begin: Place,
    pub(crate) operator_end: Place,
    pub(crate) end: Place,
}

pub(crate) struct Field {
    pub(crate) name: String,
    /// What it is given, which may be its name alone.
    pub(crate) value: (Place, Place),
    pub(crate) is_short: bool,
    /// Where the others are taken from.
    pub(crate) rest: (Place, Place),
}

pub(crate) struct Arm {
    pub(crate) pattern_end: Place,
    pub(crate) guard: Option<(Place, Place)>,
}

impl Places {
    pub(crate) fn of(file: &syn::File) -> Self {
        let mut places = Self::default();
        places.visit_file(file);
        places
    }

    /// The guard that begins there: where it ends.
    pub(crate) fn guard(&self, begin: Place) -> Option<Place> {
        let mut guards = self.arms.values().filter_map(|arm| arm.guard);
        guards.find(|guard| guard.0 == begin).map(|guard| guard.1)
    }
}

fn place(at: LineColumn) -> Place {
    Place { line: at.line, column: at.column + 1 }
}

fn begin(span: Span) -> Place {
    place(span.start())
}

fn end(span: Span) -> Place {
    place(span.end())
}

impl<'a> Visit<'a> for Places {
    fn visit_expr_binary(&mut self, binary: &'a syn::ExprBinary) {
        // A `let` in a condition can stand in no other place.
        if !binds(&binary.left) && !binds(&binary.right) {
            let operator = binary.op.span();
            let (begin, end, operator_end) = (begin(binary.left.span()), end(binary.right.span()), end(operator));
            self.binary.insert(place(operator.start()), Binary { begin, operator_end, end });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'a syn::ExprUnary) {
        self.unary.insert(begin(unary.op.span()), end(unary.expr.span()));
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, made: &'a syn::ExprStruct) {
        if let Some(rest) = &made.rest {
            let rest = (begin(rest.span()), end(rest.span()));
            for field in &made.fields {
                let value = (begin(field.expr.span()), end(field.expr.span()));
                let name = match &field.member {
                    syn::Member::Named(name) => name.to_string(),
                    syn::Member::Unnamed(index) => index.index.to_string(),
                };
                let is_short = field.colon_token.is_none();
                self.fields.insert(begin(field.span()), Field { name, value, is_short, rest });
            }
        }
        visit::visit_expr_struct(self, made);
    }

    fn visit_arm(&mut self, arm: &'a syn::Arm) {
        let guard = arm.guard.as_ref().map(|(_, guard)| guard);
        if !guard.is_some_and(|guard| binds(guard)) {
            let guard = guard.map(|guard| (begin(guard.span()), end(guard.span())));
            self.arms.insert(begin(arm.pat.span()), Arm { pattern_end: end(arm.pat.span()), guard });
        }
        visit::visit_arm(self, arm);
    }
}

/// Whether a condition has a `let` of its own.
fn binds(condition: &syn::Expr) -> bool {
    struct Let(bool);
    impl<'a> Visit<'a> for Let {
        fn visit_expr_let(&mut self, _: &'a syn::ExprLet) {
            self.0 = true;
        }
        fn visit_block(&mut self, _: &'a syn::Block) {}
    }
    let mut binds = Let(false);
    binds.visit_expr(condition);
    binds.0
}
