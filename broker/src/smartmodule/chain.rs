//! Building a chain: finding its modules, unpacking them, handing them to the engine.

use std::io::Read;

use flate2::read::GzDecoder;
use fluvio_protocol::{ByteBuf, Encoder, Version, link::ErrorCode};
use fluvio_sc_schema::smartmodule::SmartModulePackageKey;
use fluvio_smartengine::{EngineError, SmartEngine, SmartModuleChainBuilder, SmartModuleChainInstance, SmartModuleConfig, SmartModuleInitialData};
use fluvio_smartmodule::dataplane::smartmodule::SmartModuleExtraParams;
use fluvio_spu_schema::server::smartmodule::{SmartModuleContextData, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind};

use super::exports;
use crate::{Limits, catalogue::Catalogue};

/// First version in which parameters travel whole.
const LOOKBACK_VERSION: Version = 20;

/// A module's code and parameters: all on which the answers of a pure module depend, beside the records.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Question {
    code: ByteBuf,
    /// The parameters as they travel, for they cannot be compared otherwise.
    params: Vec<u8>,
}

/// One module of a chain, not yet unpacked.
pub(super) struct Source {
    name: String,
    is_stored: bool,
    gzipped: ByteBuf,
    initial_data: SmartModuleInitialData,
    params: SmartModuleExtraParams,
}

impl Source {
    /// Finds the code of a module, which comes with the request or is stored under a name.
    pub(super) fn resolve(invocation: SmartModuleInvocation, catalogue: &Catalogue) -> Result<Self, ErrorCode> {
        let initial_data = match invocation.kind {
            SmartModuleKind::Aggregate { accumulator } | SmartModuleKind::Generic(SmartModuleContextData::Aggregate { accumulator }) => {
                SmartModuleInitialData::with_aggregate(accumulator)
            }
            _ => SmartModuleInitialData::default(),
        };
        let is_stored = matches!(invocation.wasm, SmartModuleInvocationWasm::Predefined(_));
        let (name, gzipped) = match invocation.wasm {
            SmartModuleInvocationWasm::AdHoc(gzipped) => (invocation.name.unwrap_or_else(|| "ad-hoc".to_owned()), ByteBuf::from(gzipped)),
            SmartModuleInvocationWasm::Predefined(name) => {
                let stored = SmartModulePackageKey::from_qualified_name(&name).ok().and_then(|key| catalogue.smartmodule(&key.store_id()));
                match stored {
                    Some(smartmodule) => (name, smartmodule.spec.wasm.payload.clone()),
                    None => return Err(ErrorCode::SmartModuleNotFound { name }),
                }
            }
        };
        Ok(Self { name, is_stored, gzipped, initial_data, params: invocation.params })
    }

    /// What the module is asked, if it is one of `pure` and is asked nothing that belongs to one stream.
    pub(super) fn question(&self, pure: &[String]) -> Option<Question> {
        let belongs_to_stream = self.params.lookback().is_some() || !matches!(self.initial_data, SmartModuleInitialData::None);
        if belongs_to_stream || !self.is_stored || !pure.contains(&self.name) {
            return None;
        }
        let mut params = Vec::new();
        // What cannot be compared is not shared.
        self.params.encode(&mut params, LOOKBACK_VERSION).ok()?;
        Some(Question { code: self.gzipped.clone(), params })
    }

    fn unpack(&self, bytes_max: usize) -> Result<Vec<u8>, ErrorCode> {
        unpack(&self.gzipped, bytes_max).map_err(|error| ErrorCode::SmartModuleInvalid { error, name: Some(self.name.clone()) })
    }
}

/// Says what is wrong with a module that is to be stored: the client would not show it to whoever uses it later.
pub(crate) fn check(gzipped: &[u8], bytes_max: usize) -> Result<(), String> {
    let wasm = unpack(gzipped, bytes_max)?;
    match exports::transformation(&wasm) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("it exports no transformation (filter, map, filter_map, array_map or aggregate)".to_owned()),
        Err(error) => Err(format!("it is no WASM module ({})", error.message())),
    }
}

fn unpack(gzipped: &[u8], bytes_max: usize) -> Result<Vec<u8>, String> {
    let mut wasm = Vec::new();
    let mut decoder = GzDecoder::new(gzipped).take(bytes_max as u64 + 1);
    decoder.read_to_end(&mut wasm).map_err(|error| format!("it cannot be unpacked by gzip ({error})"))?;
    if wasm.len() > bytes_max {
        return Err(format!("it is larger than {bytes_max} bytes"));
    }
    Ok(wasm)
}

/// A chain ready to process records.
pub(super) struct Loaded {
    pub(super) instance: SmartModuleChainInstance,
    /// Whether one record may become several, which then have lost their place; such a chain is given its
    /// records one by one.
    pub(super) multiplies: bool,
}

impl Loaded {
    pub(super) fn build(engine: &SmartEngine, sources: Vec<Source>, version: Version, limits: &Limits) -> Result<Self, ErrorCode> {
        let mut builder = SmartModuleChainBuilder::default();
        builder.set_store_memory_limit(limits.smartmodule_memory_bytes_max);
        let mut multiplies = false;
        for source in sources {
            let wasm = source.unpack(limits.smartmodule_wasm_bytes_max)?;
            multiplies |= exports::is_array_map(&wasm);
            let lookback = source.params.lookback().map(Into::into);
            let config = SmartModuleConfig::builder()
                .smartmodule_names(vec![source.name.clone()])
                .params(source.params)
                .version(version)
                .lookback(lookback)
                .initial_data(source.initial_data)
                .build()
                .map_err(|error| ErrorCode::SmartModuleInvalid { error: error.to_string(), name: Some(source.name) })?;
            builder.add_smart_module(config, wasm);
        }
        let instance = builder.initialize(engine).map_err(|error| {
            let limit = memory_limit(error.downcast_ref());
            limit.unwrap_or_else(|| ErrorCode::SmartModuleChainInitError(error.to_string()))
        })?;
        Ok(Self { instance, multiplies })
    }
}

/// The protocol's own code for a module that wants more memory than it may have.
pub(super) fn memory_limit(error: Option<&EngineError>) -> Option<ErrorCode> {
    match error {
        Some(EngineError::StoreMemoryExceeded { requested, max, .. }) => {
            let (requested, max) = (*requested as u64, *max as u64);
            Some(ErrorCode::SmartModuleMemoryLimitExceeded { requested, max })
        }
        _ => None,
    }
}
