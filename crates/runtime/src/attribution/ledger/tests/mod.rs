mod adversary;
mod wasmtime_assumptions;
