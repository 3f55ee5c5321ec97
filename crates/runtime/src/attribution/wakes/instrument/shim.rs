use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, EntityType, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, ImportSection, Module, StartSection, TypeSection,
    ValType,
};

use super::{Report, Target};

/// What a shim imports the host's functions from.
pub(super) const REPORTS: &str = "reports";

/// What it imports the built-ins from, by their place.
pub(super) const BUILTINS: &str = "builtins";

/// What it imports the number of its part from, which the first shim of a part exports under the same name.
pub(super) const PART: &str = "part";

/// A module that exports a function for each of these built-ins, by its place: it has the signature of the
/// built-in, tells the host, and calls it. The `first` in a component asks the host for the number of the
/// part.
pub(super) fn module(targets: &[Target], first: bool) -> Module {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();

    let count = |items: usize| u32::try_from(items).unwrap_or(u32::MAX);
    for report in Report::ALL {
        let (parameters, results) = report.signature();
        imports.import(REPORTS, report.name(), EntityType::Function(types.len()));
        types.ty().function(parameters, results);
    }
    let first_builtin = imports.len();
    let first_type = types.len();
    for (place, target) in targets.iter().enumerate() {
        let (parameters, results) = target.signature();
        imports.import(
            BUILTINS,
            &place.to_string(),
            EntityType::Function(types.len()),
        );
        types.ty().function(parameters, results);
    }
    let first_function = imports.len();
    let number = GlobalType {
        val_type: ValType::I32,
        mutable: true,
        shared: false,
    };
    if !first {
        imports.import(PART, PART, EntityType::Global(number));
    }

    for (place, target) in targets.iter().enumerate() {
        let place_index = count(place);
        functions.function(first_type + place_index);
        exports.export(
            &place.to_string(),
            ExportKind::Func,
            first_function + place_index,
        );
        code.function(&target.function(first_builtin + place_index));
    }

    let mut module = Module::new();
    if first {
        let start = first_function + functions.len();
        functions.function(types.len());
        types.ty().function([], []);
        let mut ask = Function::new([]);
        ask.instructions()
            .call(Report::Part.index())
            .global_set(0)
            .end();
        code.function(&ask);
        exports.export(PART, ExportKind::Global, 0);
        let mut globals = GlobalSection::new();
        globals.global(number, &ConstExpr::i32_const(0));
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&globals)
            .section(&exports)
            .section(&StartSection {
                function_index: start,
            })
            .section(&code);
    } else {
        module
            .section(&types)
            .section(&imports)
            .section(&functions)
            .section(&exports)
            .section(&code);
    }
    module
}

type Signature = (Vec<ValType>, Vec<ValType>);

impl Report {
    fn signature(self) -> Signature {
        use ValType::{I32, I64};
        match self {
            Self::Part => (vec![], vec![I32]),
            Self::Created => (vec![I32, I64], vec![]),
            Self::Written => (vec![I32, I32], vec![]),
            Self::Joined => (vec![I32, I32, I32], vec![]),
            Self::Paused => (vec![], vec![]),
        }
    }
}

impl Target {
    fn signature(self) -> Signature {
        use ValType::{I32, I64};
        match self {
            Self::StreamNew | Self::FutureNew => (vec![], vec![I64]),
            Self::StreamWrite => (vec![I32, I32, I32], vec![I32]),
            Self::FutureWrite => (vec![I32, I32], vec![I32]),
            Self::Join => (vec![I32, I32], vec![]),
            Self::ContextSet => (vec![I32], vec![]),
        }
    }

    /// Tells the host, and calls the built-in, which is the function of this index.
    fn function(self, builtin: u32) -> Function {
        let report = self.report().index();
        let new = matches!(self, Self::StreamNew | Self::FutureNew);
        let mut function = Function::new(new.then_some((1, ValType::I64)));
        let mut code = function.instructions();
        if new {
            // What it makes is known afterwards.
            code.call(builtin)
                .local_set(0)
                .global_get(0)
                .local_get(0)
                .call(report)
                .local_get(0)
                .end();
            return function;
        }
        if self == Self::ContextSet {
            code.local_get(0)
                .if_(BlockType::Empty)
                .call(report)
                .end()
                .local_get(0)
                .call(builtin)
                .end();
            return function;
        }
        let (parameters, _) = self.signature();
        let parameters = 0..u32::try_from(parameters.len()).unwrap_or(u32::MAX);
        // Of a write, the end and not where the data would be.
        let told = match self {
            Self::StreamWrite | Self::FutureWrite => 0..1,
            _ => parameters.clone(),
        };
        code.global_get(0);
        for parameter in told {
            code.local_get(parameter);
        }
        code.call(report);
        for parameter in parameters {
            code.local_get(parameter);
        }
        code.call(builtin).end();
        function
    }

    fn report(self) -> Report {
        match self {
            Self::StreamNew | Self::FutureNew => Report::Created,
            Self::StreamWrite | Self::FutureWrite => Report::Written,
            Self::Join => Report::Joined,
            Self::ContextSet => Report::Paused,
        }
    }
}
