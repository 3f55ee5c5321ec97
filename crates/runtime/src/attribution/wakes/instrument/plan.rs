use std::collections::HashMap;

use wasmtime::wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentDefinedType, ComponentExternalKind,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, Encoding, ExternalKind, Parser,
    Payload, TypeBounds, ValType,
};

/// A built-in that is reported to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    StreamNew,
    StreamWrite,
    FutureNew,
    FutureWrite,
    Join,
    ContextGet,
    ContextSet,
}

/// The components to rewrite, and the relevant core functions of each.
#[derive(Debug)]
pub(super) struct Plan {
    /// In the order in which they begin.
    components: Vec<Planned>,
}

#[derive(Debug, Default)]
struct Planned {
    /// True if it, or one within it, makes a stream or future without payload.
    concerned: bool,
    /// True if it does so itself.
    signals: bool,
    targets: HashMap<u32, Target>,
}

struct Reading {
    number: usize,
    types: Vec<Kind>,
    core_functions: u32,
}

/// The relevant property of a type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Signal,
    /// From elsewhere; it may be such a stream or future.
    Unknown,
    Else,
}

/// An item that has begun and not ended.
enum Open {
    Component(Reading),
    Module,
}

impl Plan {
    /// Returns the plan. None if there is nothing to do: the component makes no stream or future without
    /// payload. The compiler reports components that cannot be read.
    pub(super) fn of(binary: &[u8]) -> Option<Self> {
        let mut components: Vec<Planned> = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        for payload in Parser::new(0).parse_all(binary) {
            let payload = payload.ok()?;
            match payload {
                Payload::Version { encoding, .. } => open.push(match encoding {
                    Encoding::Module => Open::Module,
                    Encoding::Component => {
                        components.push(Planned::default());
                        Open::Component(Reading {
                            number: components.len() - 1,
                            types: Vec::new(),
                            core_functions: 0,
                        })
                    }
                }),
                Payload::End(_) => {
                    open.pop();
                }
                Payload::ComponentTypeSection(section) => {
                    let reading = reading(&mut open)?;
                    for ty in section {
                        reading.types.push(Kind::of(&ty.ok()?));
                    }
                }
                Payload::ComponentImportSection(section) => {
                    let reading = reading(&mut open)?;
                    for import in section {
                        let import = import.ok()?;
                        if let ComponentTypeRef::Type(bounds) = import.ty {
                            let kind = match bounds {
                                TypeBounds::Eq(same) => reading.kind(same),
                                TypeBounds::SubResource => Kind::Else,
                            };
                            reading.types.push(kind);
                        }
                    }
                }
                Payload::ComponentExportSection(section) => {
                    let reading = reading(&mut open)?;
                    for export in section {
                        let export = export.ok()?;
                        if export.kind == ComponentExternalKind::Type {
                            reading.types.push(reading.kind(export.index));
                        }
                    }
                }
                Payload::ComponentAliasSection(section) => {
                    for alias in section {
                        let alias = alias.ok()?;
                        let outer = outer_kind(&open, &alias);
                        reading(&mut open)?.alias(&alias, outer);
                    }
                }
                Payload::ComponentCanonicalSection(section) => {
                    let reading = reading(&mut open)?;
                    let planned = components.get_mut(reading.number)?;
                    for function in section {
                        reading.canonical(&function.ok()?, planned);
                    }
                    if planned.concerned {
                        for open in &open {
                            if let Open::Component(outer) = open {
                                components.get_mut(outer.number)?.concerned = true;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let whole = components.first()?;
        whole.concerned.then_some(Self { components })
    }

    pub(super) fn is_concerned(&self, number: usize) -> bool {
        let planned = self.components.get(number);
        planned.is_some_and(|planned| planned.concerned)
    }

    /// Returns true if it has reports of its own.
    pub(super) fn signals(&self, number: usize) -> bool {
        let planned = self.components.get(number);
        planned.is_some_and(|planned| planned.signals)
    }

    /// Returns the target of a core function, if it is reported to the host.
    pub(super) fn target(&self, number: usize, core_function: u32) -> Option<Target> {
        let planned = self.components.get(number)?;
        let planned = Some(planned).filter(|planned| planned.signals)?;
        planned.targets.get(&core_function).copied()
    }
}

impl Kind {
    fn of(ty: &ComponentType<'_>) -> Self {
        match ty {
            ComponentType::Defined(
                ComponentDefinedType::Stream(None) | ComponentDefinedType::Future(None),
            ) => Self::Signal,
            _ => Self::Else,
        }
    }
}

impl Reading {
    fn kind(&self, ty: u32) -> Kind {
        let kind = self.types.get(ty as usize);
        kind.copied().unwrap_or(Kind::Unknown)
    }

    fn may_signal(&self, ty: u32) -> bool {
        self.kind(ty) != Kind::Else
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>, outer: Kind) {
        match alias {
            ComponentAlias::InstanceExport {
                kind: ComponentExternalKind::Type,
                ..
            } => self.types.push(Kind::Unknown),
            ComponentAlias::Outer {
                kind: ComponentOuterAliasKind::Type,
                ..
            } => self.types.push(outer),
            ComponentAlias::CoreInstanceExport {
                kind: ExternalKind::Func | ExternalKind::FuncExact,
                ..
            } => self.core_functions += 1,
            _ => {}
        }
    }

    fn canonical(&mut self, function: &CanonicalFunction, planned: &mut Planned) {
        let target = match *function {
            CanonicalFunction::Lift { .. } => return,
            CanonicalFunction::StreamNew { ty } if self.may_signal(ty) => Some(Target::StreamNew),
            CanonicalFunction::StreamWrite { ty, .. } if self.may_signal(ty) => {
                Some(Target::StreamWrite)
            }
            CanonicalFunction::FutureNew { ty } if self.may_signal(ty) => Some(Target::FutureNew),
            CanonicalFunction::FutureWrite { ty, .. } if self.may_signal(ty) => {
                Some(Target::FutureWrite)
            }
            CanonicalFunction::WaitableJoin => Some(Target::Join),
            CanonicalFunction::ContextGet {
                ty: ValType::I32,
                slot: 0,
            } => Some(Target::ContextGet),
            CanonicalFunction::ContextSet {
                ty: ValType::I32,
                slot: 0,
            } => Some(Target::ContextSet),
            _ => None,
        };
        if let Some(target) = target {
            let signals = !matches!(
                target,
                Target::Join | Target::ContextGet | Target::ContextSet
            );
            planned.signals |= signals;
            planned.concerned |= signals;
            planned.targets.insert(self.core_functions, target);
        }
        self.core_functions += 1;
    }
}

fn reading(open: &mut [Open]) -> Option<&mut Reading> {
    match open.last_mut()? {
        Open::Component(reading) => Some(reading),
        Open::Module => None,
    }
}

/// Returns the kind of an outer component's type that an alias names.
fn outer_kind(open: &[Open], alias: &ComponentAlias<'_>) -> Kind {
    let &ComponentAlias::Outer {
        kind: ComponentOuterAliasKind::Type,
        count,
        index,
    } = alias
    else {
        return Kind::Else;
    };
    let place = open.len().checked_sub(1 + count as usize);
    match place.and_then(|place| open.get(place)) {
        Some(Open::Component(outer)) => outer.kind(index),
        _ => Kind::Unknown,
    }
}
