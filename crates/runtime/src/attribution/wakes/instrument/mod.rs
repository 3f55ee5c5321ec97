//! Rewrites a component whose tasks can wake one another, so that it reports their actions to the host.
//!
//! Wasmtime has no hook for the built-ins of the component model. So each relevant built-in ([`Target`])
//! is wrapped in a core function of the same signature that writes a note and calls the built-in. The
//! guest's modules are copied unchanged.
//!
//! Each component that is concerned, or contains one that is, gets
//!
//! - at its head: the import of [`INTERFACE`]; and if it is concerned itself, the interface's lowered
//!   functions, and a memory for its [page](super::page);
//! - before a section of core instances: an instance of a [shim](shim), for the built-ins defined since
//!   the last. From there on the shim's functions replace the built-ins;
//! - where it instantiates a nested one that is concerned: the interface as one more argument.
//!
//! This shifts the indices of the original items. The new indices of core functions, core instances and
//! core modules are recorded one by one ([`Level`]); the others shift by the number of items in the head.

mod plan;
mod shim;

use wasm_encoder::reencode::{Error, Reencode, ReencodeComponent, component_utils};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, Component, ComponentAliasSection,
    ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentInstanceSection,
    ComponentNameSection, ComponentSectionId, ComponentTypeRef, ComponentTypeSection,
    ComponentValType, ExportKind, InstanceSection, InstanceType, ModuleArg, ModuleSection,
    NestedComponentSection, PrimitiveValType, RawSection,
};
use wasmtime::wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentAliasSectionReader, ComponentExport,
    ComponentExternalKind, ComponentImportSectionReader, ComponentInstance,
    ComponentOuterAliasKind, ExternalKind, InstanceSectionReader, KnownCustom, Parser, Payload,
};

use self::plan::{Plan, Target};

/// The import of a rewritten component.
pub(crate) const INTERFACE: &str = "headwater:attribution/wakes@0.1.0";

/// A function of [`INTERFACE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Report {
    /// Gives the host the [page](super::page) of a part.
    Page,
    /// Asks the host to read the page.
    Read,
}

/// The reason why a component whose tasks can wake one another cannot be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unheard {
    /// It passes a component that is concerned on, to be instantiated elsewhere.
    #[error("one of its inner components is not instantiated by the component around it")]
    GivenAway,
    /// It could not be read, or has invalid references. The compiler reports this.
    #[error("it could not be read")]
    Unreadable,
}

/// Returns the component, rewritten to report its tasks' actions. None if they cannot wake one another.
pub(crate) fn instrumented(binary: &[u8]) -> Result<Option<Vec<u8>>, Unheard> {
    let Some(plan) = Plan::of(binary) else {
        return Ok(None);
    };
    let mut rewriter = Rewriter {
        plan: &plan,
        next: 0,
        scopes: Vec::new(),
        given_away: false,
    };
    let rewritten = rewriter
        .component(Parser::new(0), binary, binary)
        .map_err(|_| Unheard::Unreadable)?;
    if rewriter.given_away {
        return Err(Unheard::GivenAway);
    }
    Ok(Some(rewritten.finish()))
}

struct Rewriter<'a> {
    plan: &'a Plan,
    /// The number of the next component, in the order in which they begin.
    next: usize,
    scopes: Vec<Scope>,
    given_away: bool,
}

enum Scope {
    Component(Level),
    /// The type of a component, an instance or a module: it stays unchanged.
    Type,
}

/// A component that is being rewritten, with the new indices of its items.
struct Level {
    number: usize,
    head: bool,
    page: bool,
    core_functions: Moved,
    core_instances: Moved,
    modules: Moved,
    /// For each component in it, true if it is concerned.
    components: Vec<bool>,
    /// The original indices of built-ins that have no shim yet.
    pending: Vec<(u32, Target)>,
    /// True if it has a shim, which has given the host its page.
    shown: bool,
}

/// The new indices of one kind of items, by the original index.
#[derive(Default)]
struct Moved {
    now: Vec<u32>,
    next: u32,
}

#[derive(Debug)]
struct Dangling;

type Rewriting<T> = Result<T, Error<Dangling>>;

// === impl Report ===

impl Report {
    /// In the order of the head.
    const ALL: [Self; 2] = [Self::Page, Self::Read];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Read => "read",
        }
    }

    /// Returns the index of its lowered function and of its component function, in a component that has a
    /// page.
    const fn index(self) -> u32 {
        self as u32
    }
}

// === impl Moved ===

impl Moved {
    fn push(&mut self) {
        self.now.push(self.next);
        self.next += 1;
    }

    fn add(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    fn get(&self, index: u32) -> Option<u32> {
        self.now.get(index as usize).copied()
    }

    /// Returns the original index of the next original item.
    fn len(&self) -> u32 {
        u32::try_from(self.now.len()).unwrap_or(u32::MAX)
    }
}

// === impl Level ===

impl Level {
    /// Returns the number of types and of component instances in the head.
    fn moved(&self) -> u32 {
        u32::from(self.head)
    }

    /// Returns the number of component functions in the head.
    fn moved_functions(&self) -> u32 {
        if self.page {
            Report::ALL.len() as u32
        } else {
            0
        }
    }

    /// Returns the number of core memories in the head.
    fn moved_memories(&self) -> u32 {
        u32::from(self.page)
    }

    /// Adds a shim for the built-ins that have none.
    fn shim(&mut self, component: &mut Component) {
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let targets: Vec<Target> = pending.iter().map(|&(_, target)| target).collect();
        let first = !std::mem::replace(&mut self.shown, true);
        component.section(&ModuleSection(&shim::module(&targets, first)));
        let module = self.modules.add();

        let mut instances = InstanceSection::new();
        instances.export_items(
            Report::ALL.map(|report| (report.name(), ExportKind::Func, report.index())),
        );
        let reports = self.core_instances.add();
        let builtins = pending.iter().enumerate();
        let builtins = builtins.map(|(place, &(index, _))| {
            let now = self.core_functions.get(index).unwrap_or(index);
            (place.to_string(), ExportKind::Func, now)
        });
        instances.export_items(builtins.collect::<Vec<_>>());
        let builtins = self.core_instances.add();
        instances.instantiate(
            module,
            [
                (shim::REPORTS, ModuleArg::Instance(reports)),
                (shim::BUILTINS, ModuleArg::Instance(builtins)),
                (shim::PAGE, ModuleArg::Instance(PAGE)),
            ],
        );
        let instance = self.core_instances.add();
        component.section(&instances);

        let mut aliases = ComponentAliasSection::new();
        for (place, (index, _)) in pending.into_iter().enumerate() {
            aliases.alias(Alias::CoreInstanceExport {
                instance,
                kind: ExportKind::Func,
                name: &place.to_string(),
            });
            let shimmed = self.core_functions.add();
            if let Some(now) = self.core_functions.now.get_mut(index as usize) {
                *now = shimmed;
            }
        }
        component.section(&aliases);
    }
}

// === impl Rewriter ===

impl Rewriter<'_> {
    fn component(&mut self, parser: Parser, data: &[u8], whole: &[u8]) -> Rewriting<Component> {
        let number = self.next;
        self.next += 1;
        let head = self.plan.is_concerned(number);
        let page = self.plan.signals(number);
        let mut level = Level {
            number,
            head,
            page,
            core_functions: Moved::default(),
            core_instances: Moved::default(),
            modules: Moved::default(),
            components: Vec::new(),
            pending: Vec::new(),
            shown: false,
        };
        let mut component = Component::new();
        if head {
            write_import(&mut component);
        }
        if page {
            write_page(&mut component);
            level.core_functions.next = Report::ALL.len() as u32;
            level.modules.add();
            level.core_instances.add();
        }
        self.scopes.push(Scope::Component(level));
        component_utils::parse_component(self, &mut component, parser, data, whole)?;
        self.scopes.pop();
        Ok(component)
    }

    /// Returns the component that is being rewritten. None within a type.
    fn level(&mut self) -> Option<&mut Level> {
        self.outer(0)
    }

    fn outer(&mut self, count: u32) -> Option<&mut Level> {
        let place = self.scopes.len().checked_sub(1 + count as usize)?;
        match self.scopes.get_mut(place)? {
            Scope::Component(level) => Some(level),
            Scope::Type => None,
        }
    }

    /// Counts an item of a section that defines several kinds.
    fn defines(&mut self, kind: ComponentExternalKind) {
        let Some(level) = self.level() else { return };
        match kind {
            ComponentExternalKind::Module => level.modules.push(),
            ComponentExternalKind::Component => level.components.push(false),
            ComponentExternalKind::Func
            | ComponentExternalKind::Value
            | ComponentExternalKind::Type
            | ComponentExternalKind::Instance => {}
        }
    }

    /// Handles a use of a component other than instantiation.
    fn gives_away(&mut self, count: u32, component: u32) {
        let level = self.outer(count);
        let concerned = level.and_then(|level| level.components.get(component as usize).copied());
        self.given_away |= concerned == Some(true);
    }
}

impl Reencode for Rewriter<'_> {
    type Error = Dangling;

    fn function_index(&mut self, index: u32) -> Rewriting<u32> {
        let level = self.level();
        let now = level.and_then(|level| level.core_functions.get(index));
        now.ok_or(Error::UserError(Dangling))
    }

    fn memory_index(&mut self, index: u32) -> Rewriting<u32> {
        let level = self.level();
        Ok(level.map_or(index, |level| index + level.moved_memories()))
    }
}

impl ReencodeComponent for Rewriter<'_> {
    fn push_depth(&mut self) {
        self.scopes.push(Scope::Type);
    }

    fn pop_depth(&mut self) {
        self.scopes.pop();
    }

    fn component_type_index(&mut self, index: u32) -> u32 {
        self.outer_component_type_index(0, index)
    }

    fn outer_component_type_index(&mut self, count: u32, index: u32) -> u32 {
        self.outer(count)
            .map_or(index, |level| index + level.moved())
    }

    fn component_instance_index(&mut self, index: u32) -> u32 {
        self.level().map_or(index, |level| index + level.moved())
    }

    fn component_func_index(&mut self, index: u32) -> u32 {
        self.level()
            .map_or(index, |level| index + level.moved_functions())
    }

    fn component_index(&mut self, index: u32) -> u32 {
        self.outer_component_index(0, index)
    }

    fn outer_component_index(&mut self, count: u32, index: u32) -> u32 {
        self.gives_away(count, index);
        index
    }

    fn module_index(&mut self, index: u32) -> u32 {
        self.outer_module_index(0, index)
    }

    fn outer_module_index(&mut self, count: u32, index: u32) -> u32 {
        let level = self.outer(count);
        // The compiler reports missing items.
        level
            .and_then(|level| level.modules.get(index))
            .unwrap_or(index)
    }

    fn instance_index(&mut self, index: u32) -> u32 {
        let level = self.level();
        level
            .and_then(|level| level.core_instances.get(index))
            .unwrap_or(index)
    }

    fn parse_component_payload(
        &mut self,
        component: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Rewriting<()> {
        if let Payload::InstanceSection(_) = &payload
            && let Some(level) = self.level()
        {
            level.shim(component);
        }
        component_utils::parse_component_payload(self, component, payload, whole)
    }

    fn parse_component_submodule(
        &mut self,
        component: &mut Component,
        _parser: Parser,
        module: &[u8],
    ) -> Rewriting<()> {
        component.section(&RawSection {
            id: ComponentSectionId::CoreModule.into(),
            data: module,
        });
        self.defines(ComponentExternalKind::Module);
        Ok(())
    }

    fn parse_component_subcomponent(
        &mut self,
        component: &mut Component,
        parser: Parser,
        data: &[u8],
        whole: &[u8],
    ) -> Rewriting<()> {
        let concerned = self.plan.is_concerned(self.next);
        let nested = self.component(parser, data, whole)?;
        component.section(&NestedComponentSection(&nested));
        if let Some(level) = self.level() {
            level.components.push(concerned);
        }
        Ok(())
    }

    fn parse_component_custom_section(
        &mut self,
        component: &mut Component,
        section: wasmtime::wasmparser::CustomSectionReader<'_>,
    ) -> Rewriting<()> {
        // Names by index, which no longer match. The component's own name is kept.
        if let KnownCustom::ComponentName(names) = section.as_known() {
            for name in names {
                if let wasmtime::wasmparser::ComponentName::Component { name, .. } = name? {
                    let mut names = ComponentNameSection::new();
                    names.component(name);
                    component.section(&names);
                }
            }
            return Ok(());
        }
        component.section(&self.custom_section(section)?);
        Ok(())
    }

    fn parse_component_alias_section(
        &mut self,
        aliases: &mut ComponentAliasSection,
        section: ComponentAliasSectionReader<'_>,
    ) -> Rewriting<()> {
        for alias in section {
            let alias = alias?;
            match alias {
                ComponentAlias::InstanceExport { kind, .. } => self.defines(kind),
                ComponentAlias::CoreInstanceExport { kind, .. } => {
                    if let (ExternalKind::Func | ExternalKind::FuncExact, Some(level)) =
                        (kind, self.level())
                    {
                        level.core_functions.push();
                    }
                }
                ComponentAlias::Outer { kind, .. } => match kind {
                    ComponentOuterAliasKind::CoreModule => {
                        self.defines(ComponentExternalKind::Module);
                    }
                    ComponentOuterAliasKind::Component => {
                        self.defines(ComponentExternalKind::Component);
                    }
                    ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
                },
            }
            aliases.alias(self.component_alias(alias)?);
        }
        Ok(())
    }

    fn parse_component_import_section(
        &mut self,
        imports: &mut ComponentImportSection,
        section: ComponentImportSectionReader<'_>,
    ) -> Rewriting<()> {
        for import in section {
            let import = import?;
            imports.import(import.name, self.component_type_ref(import.ty)?);
            self.defines(import.ty.kind());
        }
        Ok(())
    }

    fn parse_component_export(
        &mut self,
        exports: &mut ComponentExportSection,
        export: ComponentExport<'_>,
    ) -> Rewriting<()> {
        let kind = export.kind;
        component_utils::parse_component_export(self, exports, export)?;
        self.defines(kind);
        Ok(())
    }

    fn parse_component_canonical(
        &mut self,
        section: &mut CanonicalFunctionSection,
        function: CanonicalFunction,
    ) -> Rewriting<()> {
        let is_lifted = matches!(function, CanonicalFunction::Lift { .. });
        // The library leaves the type's index unchanged in these.
        match function {
            CanonicalFunction::StreamCancelRead { ty, async_ } => {
                section.stream_cancel_read(self.component_type_index(ty), async_);
            }
            CanonicalFunction::StreamCancelWrite { ty, async_ } => {
                section.stream_cancel_write(self.component_type_index(ty), async_);
            }
            CanonicalFunction::FutureCancelRead { ty, async_ } => {
                section.future_cancel_read(self.component_type_index(ty), async_);
            }
            CanonicalFunction::FutureCancelWrite { ty, async_ } => {
                section.future_cancel_write(self.component_type_index(ty), async_);
            }
            function => component_utils::parse_component_canonical(self, section, function)?,
        }
        let plan = self.plan;
        if !is_lifted && let Some(level) = self.level() {
            let index = level.core_functions.len();
            level.core_functions.push();
            if let Some(target) = plan.target(level.number, index) {
                level.pending.push((index, target));
            }
        }
        Ok(())
    }

    fn parse_component_instance(
        &mut self,
        instances: &mut ComponentInstanceSection,
        instance: ComponentInstance<'_>,
    ) -> Rewriting<()> {
        let ComponentInstance::Instantiate {
            component_index,
            args,
        } = instance
        else {
            return component_utils::parse_component_instance(self, instances, instance);
        };
        let mut arguments: Vec<_> = args
            .iter()
            .map(|argument| {
                let index = self.component_external_index(argument.kind, argument.index);
                (argument.name, argument.kind.into(), index)
            })
            .collect();
        let concerned = self
            .level()
            .and_then(|level| level.components.get(component_index as usize).copied());
        if concerned == Some(true) {
            // The first instance of the head.
            arguments.push((INTERFACE, ComponentExportKind::Instance, 0));
        }
        instances.instantiate(component_index, arguments);
        Ok(())
    }

    fn parse_instance_section(
        &mut self,
        instances: &mut InstanceSection,
        section: InstanceSectionReader<'_>,
    ) -> Rewriting<()> {
        for instance in section {
            self.parse_instance(instances, instance?)?;
            if let Some(level) = self.level() {
                level.core_instances.push();
            }
        }
        Ok(())
    }
}

/// The head's core instance of the page.
const PAGE: u32 = 0;

/// Writes the import of the interface: one type and one instance.
fn write_import(component: &mut Component) {
    let mut interface = InstanceType::new();
    let word = ComponentValType::Primitive(PrimitiveValType::U32);
    interface.ty().defined_type().list(word);
    let words = ComponentValType::Type(0);
    for report in Report::ALL {
        let parameters = match report {
            Report::Page => vec![("words", words)],
            Report::Read => Vec::new(),
        };
        let ty = interface.type_count();
        interface.ty().function().params(parameters).result(None);
        interface.export(report.name(), ComponentTypeRef::Func(ty));
    }
    let mut types = ComponentTypeSection::new();
    types.instance(&interface);
    component.section(&types);

    let mut imports = ComponentImportSection::new();
    imports.import(INTERFACE, ComponentTypeRef::Instance(0));
    component.section(&imports);
}

/// Writes the page and lowers the interface's functions: a core module, a core instance and a memory, and
/// for each [`Report`] a core function and a component function.
fn write_page(component: &mut Component) {
    component.section(&ModuleSection(&shim::page_module()));
    let mut instances = InstanceSection::new();
    instances.instantiate::<_, &str>(0, []);
    component.section(&instances);

    let mut aliases = ComponentAliasSection::new();
    aliases.alias(Alias::CoreInstanceExport {
        instance: PAGE,
        kind: ExportKind::Memory,
        name: shim::MEMORY,
    });
    let mut lowered = CanonicalFunctionSection::new();
    for report in Report::ALL {
        aliases.alias(Alias::InstanceExport {
            instance: 0,
            kind: ComponentExportKind::Func,
            name: report.name(),
        });
        lowered.lower(report.index(), [CanonicalOption::Memory(0)]);
    }
    component.section(&aliases);
    component.section(&lowered);
}

#[cfg(test)]
mod tests;
