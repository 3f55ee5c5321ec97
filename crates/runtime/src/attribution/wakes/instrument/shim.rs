use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, InstructionSink, MemArg, MemorySection, MemoryType, Module, StartSection,
    TypeSection, ValType,
};

use super::super::page::{
    ACTIVE, CALL_AFTER, CREATED, GOES_ON, GOT, HEAD, JOINS, NOTE, NOTES, PAUSES, STARTS, WORD,
    WORDS, WRITES, WRITTEN,
};
use super::Report;
use super::plan::Target;

/// The module name of the host's functions in a shim's imports.
pub(super) const REPORTS: &str = "reports";

/// The module name of the built-ins, which are named by their position.
pub(super) const BUILTINS: &str = "builtins";

/// The module name of the page's memory.
pub(super) const PAGE: &str = "page";

pub(super) const MEMORY: &str = "memory";

const PAGE_MEMORY: MemoryType = MemoryType {
    minimum: 1,
    maximum: Some(1),
    memory64: false,
    shared: false,
    page_size_log2: None,
};

pub(super) fn page_module() -> Module {
    let mut memories = MemorySection::new();
    memories.memory(PAGE_MEMORY);
    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0);
    let mut module = Module::new();
    module.section(&memories).section(&exports);
    module
}

/// Returns a module that exports a function for each of these built-ins, named by its position: it has the
/// built-in's signature, writes a note and calls it. The `first` in a component gives the host the page.
pub(super) fn module(targets: &[Target], first: bool) -> Module {
    let mut types = TypeSection::new();
    let mut imports = ImportSection::new();
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();

    for report in Report::ALL {
        imports.import(REPORTS, report.name(), EntityType::Function(types.len()));
        let parameters = match report {
            Report::Page => vec![ValType::I32; 2],
            Report::Read => Vec::new(),
        };
        types.ty().function(parameters, []);
    }
    for (place, target) in targets.iter().enumerate() {
        let ty = EntityType::Function(types.len());
        imports.import(BUILTINS, &place.to_string(), ty);
        let (parameters, results) = target.signature();
        types.ty().function(parameters, results);
    }
    let first_builtin = Report::ALL.len() as u32;
    let note = imports.len();
    imports.import(PAGE, MEMORY, EntityType::Memory(PAGE_MEMORY));

    functions.function(types.len());
    types.ty().function([ValType::I32; 3], []);
    code.function(&note_function());
    for (target, place) in targets.iter().zip(0..) {
        // Its type has the same index.
        let builtin = first_builtin + place;
        functions.function(builtin);
        exports.export(&place.to_string(), ExportKind::Func, note + 1 + place);
        code.function(&target.function(builtin, note));
    }
    let start = StartSection {
        function_index: note + functions.len(),
    };
    if first {
        functions.function(types.len());
        types.ty().function([], []);
        let mut show = Function::new([]);
        show.instructions()
            .i32_const(0)
            .i32_const(signed(WORDS))
            .call(Report::Page.index())
            .end();
        code.function(&show);
    }

    let mut module = Module::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&exports);
    if first {
        module.section(&start);
    }
    module.section(&code);
    module
}

/// Returns the function that writes a note: a kind and two words. It calls the host before the ring is
/// full.
fn note_function() -> Function {
    // The kind and the words are the parameters.
    let (written, place) = (3, 4);
    let mut function = Function::new([(2, ValType::I32)]);
    let mut code = function.instructions();
    load(&mut code, WRITTEN);
    code.local_tee(written)
        .i32_const(signed(NOTES - 1))
        .i32_and()
        .i32_const(signed(NOTE * WORD))
        .i32_mul()
        .local_set(place);
    let field = |field: u32| word(HEAD + field);
    code.local_get(place).local_get(0).i32_store(field(0));
    code.local_get(place);
    load(&mut code, ACTIVE);
    code.i32_store(field(1));
    code.local_get(place).local_get(1).i32_store(field(2));
    code.local_get(place).local_get(2).i32_store(field(3));
    code.i32_const(0)
        .local_get(written)
        .i32_const(1)
        .i32_add()
        .local_tee(written)
        .i32_store(word(WRITTEN))
        .local_get(written)
        .i32_const(signed(CALL_AFTER - 1))
        .i32_and()
        .i32_eqz()
        .if_(BlockType::Empty)
        .call(Report::Read.index())
        .end()
        .end();
    function
}

impl Target {
    fn signature(self) -> (Vec<ValType>, Vec<ValType>) {
        use ValType::{I32, I64};
        match self {
            Self::StreamNew | Self::FutureNew => (vec![], vec![I64]),
            Self::StreamWrite => (vec![I32, I32, I32], vec![I32]),
            Self::FutureWrite => (vec![I32, I32], vec![I32]),
            Self::Join => (vec![I32, I32], vec![]),
            Self::ContextGet => (vec![], vec![I32]),
            Self::ContextSet => (vec![I32], vec![]),
        }
    }

    /// Returns the function that writes a note of the built-in and calls it.
    fn function(self, builtin: u32, note: u32) -> Function {
        let (parameters, _) = self.signature();
        let parameters = 0..u32::try_from(parameters.len()).unwrap_or(u32::MAX);
        match self {
            Self::StreamNew | Self::FutureNew => {
                let mut function = Function::new([(1, ValType::I64)]);
                function
                    .instructions()
                    .call(builtin)
                    .local_set(0)
                    .i32_const(signed(CREATED))
                    // The two handles; the readable end is in the lower half.
                    .local_get(0)
                    .i32_wrap_i64()
                    .local_get(0)
                    .i64_const(32)
                    .i64_shr_u()
                    .i32_wrap_i64()
                    .call(note)
                    .local_get(0)
                    .end();
                function
            }
            Self::StreamWrite | Self::FutureWrite => {
                let mut function = Function::new([]);
                let mut code = function.instructions();
                code.i32_const(signed(WRITES))
                    .local_get(0)
                    .i32_const(0)
                    .call(note);
                for parameter in parameters {
                    code.local_get(parameter);
                }
                code.call(builtin).end();
                function
            }
            Self::Join => {
                let mut function = Function::new([]);
                function
                    .instructions()
                    .i32_const(signed(JOINS))
                    .local_get(0)
                    .local_get(1)
                    .call(note)
                    .local_get(0)
                    .local_get(1)
                    .call(builtin)
                    .end();
                function
            }
            Self::ContextGet => got_function(builtin, note),
            Self::ContextSet => set_function(builtin, note),
        }
    }
}

/// Wraps `context.get`: a runtime gets the context of a task that is called back. Null means a new task.
fn got_function(builtin: u32, note: u32) -> Function {
    let context = 0;
    let mut function = Function::new([(1, ValType::I32)]);
    let mut code = function.instructions();
    code.i32_const(0)
        .call(builtin)
        .local_tee(context)
        .i32_store(word(GOT))
        .local_get(context)
        .if_(BlockType::Empty)
        .i32_const(0)
        .local_get(context)
        .i32_store(word(ACTIVE))
        .i32_const(signed(GOES_ON))
        .i32_const(0)
        .i32_const(0)
        .call(note)
        .end()
        .local_get(context)
        .end();
    function
}

/// Wraps `context.set`: a runtime sets the context when the task pauses, and when it starts. At a start it
/// differs from the value that was got.
fn set_function(builtin: u32, note: u32) -> Function {
    let context = 0;
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.local_get(context).if_(BlockType::Empty);
    load(&mut code, GOT);
    code.local_get(context)
        .i32_eq()
        .if_(BlockType::Result(ValType::I32))
        .i32_const(signed(PAUSES))
        .else_()
        .i32_const(0)
        .local_get(context)
        .i32_store(word(ACTIVE))
        .i32_const(signed(STARTS))
        .end()
        .i32_const(0)
        .i32_const(0)
        .call(note)
        .end()
        .local_get(context)
        .call(builtin)
        .end();
    function
}

/// Loads the word at this place of the page.
fn load(code: &mut InstructionSink<'_>, place: u32) {
    code.i32_const(0).i32_load(word(place));
}

fn word(place: u32) -> MemArg {
    MemArg {
        offset: u64::from(place * WORD),
        align: 2,
        memory_index: 0,
    }
}

/// Returns the number as instructions encode it.
fn signed(number: u32) -> i32 {
    number.cast_signed()
}
