//! The hooks that a component exports.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Func, Instance, InstancePre, Lift, Lower,
    TypedFunc,
};
use wasmtime::{AsContextMut, Store};

use super::types::{Action, FailedRequest, HookFault, HookRequest, HookResponse};
use crate::guest_state::GuestState;
use crate::load_error::LoadError;

/// The hooks that a component has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `smg:gateway/middleware-on-request`.
    pub on_request: bool,
    /// `smg:gateway/middleware-on-response`.
    pub on_response: bool,
    /// `headwater:middleware/on-error`.
    pub on_error: bool,
}

/// A hook: the interface that exports it, its name there, and its type.
struct Hook {
    interface: &'static str,
    function: &'static str,
    shape: &'static str,
}

const ON_REQUEST: Hook = Hook {
    interface: "smg:gateway/middleware-on-request",
    function: "on-request",
    shape: "(record{method:string,path:string,query:string,headers:list<record{name:string,value:string}>,\
            body:list<u8>,request-id:string,now-epoch-ms:u64})->variant{continue,reject(u16),\
            modify(record{status:option<u16>,headers-set:list<record{name:string,value:string}>,\
            headers-add:list<record{name:string,value:string}>,headers-remove:list<string>,\
            body-replace:option<list<u8>>})}",
};

const ON_RESPONSE: Hook = Hook {
    interface: "smg:gateway/middleware-on-response",
    function: "on-response",
    shape: "(record{status:u16,headers:list<record{name:string,value:string}>,body:list<u8>})->\
            variant{continue,reject(u16),modify(record{status:option<u16>,\
            headers-set:list<record{name:string,value:string}>,\
            headers-add:list<record{name:string,value:string}>,headers-remove:list<string>,\
            body-replace:option<list<u8>>})}",
};

const ON_ERROR: Hook = Hook {
    interface: "headwater:middleware/on-error@0.1.0",
    function: "on-error",
    shape: "(record{method:string,path:string,query:string,headers:list<record{name:string,value:string}>,\
            request-id:string},record{status:u16,blame:enum{guest,upstream,host,overload},kind:string,\
            summary:string,middleware:option<string>,service-reached:bool})->option<record{status:u16,\
            headers:list<record{name:string,value:string}>,body:list<u8>}>",
};

/// A linked action component, ready to be instantiated.
pub(crate) struct ActionPre {
    pre: InstancePre<GuestState>,
    on_request: Option<ComponentExportIndex>,
    on_response: Option<ComponentExportIndex>,
    on_error: Option<ComponentExportIndex>,
}

/// An instance of an action component.
pub(crate) struct ActionGuest {
    pub(super) on_request: Option<OnRequest>,
    pub(super) on_response: Option<OnResponse>,
    pub(super) on_error: Option<OnError>,
    /// One of these.
    entrance: Func,
}

pub(super) type OnRequest = TypedFunc<(Arc<HookRequest>,), (Action,)>;
pub(super) type OnResponse = TypedFunc<(Arc<HookResponse>,), (Action,)>;
pub(super) type OnError = TypedFunc<(Arc<FailedRequest>, Arc<HookFault>), (Option<HookResponse>,)>;

// === impl Hooks ===

impl Hooks {
    pub(crate) fn of(component: &Component) -> Self {
        let has = |hook: &Hook| component.get_export_index(None, hook.interface).is_some();
        Self {
            on_request: has(&ON_REQUEST),
            on_response: has(&ON_RESPONSE),
            on_error: has(&ON_ERROR),
        }
    }

    /// Returns true if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn names(self) -> Vec<&'static str> {
        let hooks = [
            (self.on_request, &ON_REQUEST),
            (self.on_response, &ON_RESPONSE),
            (self.on_error, &ON_ERROR),
        ];
        let hooks = hooks.into_iter().filter(|(has, _)| *has);
        hooks.map(|(_, hook)| hook.function).collect()
    }
}

/// Writes the names of the hooks: `on-request, on-response`.
impl fmt::Display for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

// === impl ActionPre ===

impl ActionPre {
    /// Finds the hooks.
    ///
    /// # Errors
    ///
    /// Returns an error if one has another type.
    pub(crate) fn new(
        component: &Component,
        pre: InstancePre<GuestState>,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            on_request: ON_REQUEST.find(component)?,
            on_response: ON_RESPONSE.find(component)?,
            on_error: ON_ERROR.find(component)?,
            pre,
        })
    }

    pub(crate) async fn instantiate(
        &self,
        store: &mut Store<GuestState>,
    ) -> wasmtime::Result<ActionGuest> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let on_request: Option<OnRequest> = typed(&instance, store, self.on_request.as_ref())?;
        let on_response: Option<OnResponse> = typed(&instance, store, self.on_response.as_ref())?;
        let on_error: Option<OnError> = typed(&instance, store, self.on_error.as_ref())?;
        let entrances = [
            on_request.as_ref().map(|hook| *hook.func()),
            on_response.as_ref().map(|hook| *hook.func()),
            on_error.as_ref().map(|hook| *hook.func()),
        ];
        let entrance = entrances.into_iter().flatten().next();
        Ok(ActionGuest {
            entrance: entrance.ok_or_else(|| wasmtime::format_err!("there is no hook"))?,
            on_request,
            on_response,
            on_error,
        })
    }
}

fn typed<P, R>(
    instance: &Instance,
    store: &mut Store<GuestState>,
    index: Option<&ComponentExportIndex>,
) -> wasmtime::Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let func = index.map(|index| instance.get_typed_func(store.as_context_mut(), index));
    func.transpose()
}

// === impl ActionGuest ===

impl ActionGuest {
    /// Returns the function where backpressure is checked.
    pub(crate) fn entrance(&self) -> Func {
        self.entrance
    }
}

// === impl Hook ===

impl Hook {
    fn find(&self, component: &Component) -> Result<Option<ComponentExportIndex>, LoadError> {
        let Some(interface) = component.get_export_index(None, self.interface) else {
            return Ok(None);
        };
        match component.get_export(Some(&interface), self.function) {
            Some((ComponentItem::ComponentFunc(function), index))
                if shape(&function) == self.shape =>
            {
                Ok(Some(index))
            }
            _ => Err(LoadError::Hook(format!(
                "{}#{}",
                self.interface, self.function
            ))),
        }
    }
}

/// Writes the type of a function on one line. Names of parameters are left out, as in wasmtime's own check.
fn shape(function: &ComponentFunc) -> String {
    let parameters: Vec<_> = function.params().map(|(_, ty)| shape_of(&ty)).collect();
    let results: Vec<_> = function.results().map(|ty| shape_of(&ty)).collect();
    format!("({})->{}", parameters.join(","), results.join(","))
}

fn shape_of(ty: &Type) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::U8 => "u8".to_owned(),
        Type::U16 => "u16".to_owned(),
        Type::U64 => "u64".to_owned(),
        Type::String => "string".to_owned(),
        Type::List(list) => format!("list<{}>", shape_of(&list.ty())),
        Type::Option(option) => format!("option<{}>", shape_of(&option.ty())),
        Type::Enum(cases) => format!("enum{{{}}}", cases.names().collect::<Vec<_>>().join(",")),
        Type::Record(record) => {
            let fields = record
                .fields()
                .map(|field| format!("{}:{}", field.name, shape_of(&field.ty)));
            format!("record{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        Type::Variant(variant) => {
            let cases = variant.cases().map(|case| match &case.ty {
                Some(ty) => format!("{}({})", case.name, shape_of(ty)),
                None => case.name.to_owned(),
            });
            format!("variant{{{}}}", cases.collect::<Vec<_>>().join(","))
        }
        // No hook has any of the others.
        _ => "other".to_owned(),
    }
}
