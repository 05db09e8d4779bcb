//! Which adapters there are, what they can do, and which one a run takes.

use std::fmt;
use std::str::FromStr;

use super::texels;
use crate::cache::Origin;
use crate::kernels::{AdapterFacts, AdapterKind, Choices, ForcedError};
use crate::recording::{MatrixSize, Requirement};

/// A graphics API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Vulkan,
    Metal,
    Dx12,
    Gl,
}

impl Backend {
    const ALL: [Backend; 4] = [Backend::Vulkan, Backend::Metal, Backend::Dx12, Backend::Gl];

    fn name(self) -> &'static str {
        match self {
            Backend::Vulkan => "vulkan",
            Backend::Metal => "metal",
            Backend::Dx12 => "dx12",
            Backend::Gl => "gl",
        }
    }

    /// Whether the backend's shading language can say what a program with the requirement says.
    pub fn offers(self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Nothing => true,
            // wgpu has none on GL; on DX12 it has them from shader model 6.0 on, with DXC and not with FXC.
            // On DX12 f16 is there from shader model 6.2 on.
            Requirement::Subgroups | Requirement::EightLanes | Requirement::Half => self != Backend::Gl,
            // From shader model 6.4 on naga writes a call with a literal 0, for which DXC looks for 64-bit integers.
            Requirement::PackedDot { subgroups } => self != Backend::Dx12 && !(subgroups && self == Backend::Gl),
            // naga writes them for these two; for HLSL it panics.
            Requirement::CooperativeMatrix { .. } => matches!(self, Backend::Vulkan | Backend::Metal),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let lower = s.to_ascii_lowercase();
        Backend::ALL
            .into_iter()
            .find(|b| b.name() == lower)
            .ok_or_else(|| format!("there is no backend '{s}'; use vulkan, metal, dx12 or gl"))
    }
}

/// What the user asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceSelector {
    /// A position in the list of [`devices`], whatever the backend, or a part of an adapter's name.
    pub device: Option<String>,
    pub backend: Option<Backend>,
}

/// Why no adapter could be taken.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    #[error("no GPU adapter was found; install a Vulkan driver (a software one, such as Mesa's lavapipe, works too)")]
    None,
    #[error("no adapter of the {0} backend was found; `wgpt devices` lists what there is")]
    NoBackend(Backend),
    #[error("no device matches '{wanted}'; there is {}", .available.join(", "))]
    NoMatch { wanted: String, available: Vec<String> },
    #[error("{name} cannot be used: {reason}")]
    Unusable { name: String, reason: String },
    #[error("{name} refused to open: {reason}; update its driver or choose another device (--device)")]
    Refused { name: String, reason: String },
    #[error(transparent)]
    Variant(#[from] ForcedError),
}

/// One adapter, described.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DeviceInfo {
    /// Position in the list: what `--device` takes.
    pub index: usize,
    pub name: String,
    pub backend: String,
    pub device_type: String,
    pub driver: String,
    pub driver_info: String,
    pub vendor_id: u32,
    pub device_id: u32,
    /// False where results are known to be wrong; `notice` says why.
    pub usable: bool,
    pub notice: Option<String>,
    /// The smallest and largest subgroup.
    pub subgroup_sizes: (u32, u32),
    pub features: Vec<String>,
    pub limits: DeviceLimits,
    /// Which kernel does what here, and why.
    pub kernels: Vec<String>,
    /// The one that a run takes unless told otherwise.
    pub selected: bool,
}

impl DeviceInfo {
    /// The adapter is a CPU that emulates a GPU.
    pub fn is_software(&self) -> bool {
        self.device_type == "software"
    }

    /// Whether it is one of Apple's own GPUs.
    pub fn is_apple(&self) -> bool {
        is_apple(&self.name)
    }

    /// Whether it is reached through OpenGL, whose context is one thread's at a time.
    pub(super) fn is_gl(&self) -> bool {
        self.backend == Backend::Gl.to_string()
    }

    /// What the choice of kernel variants depends on.
    pub fn facts(&self) -> AdapterFacts {
        AdapterFacts {
            kind: match self.device_type.as_str() {
                "software" => AdapterKind::Software,
                "discrete GPU" | "virtual GPU" => AdapterKind::Discrete,
                _ => AdapterKind::Integrated,
            },
            subgroups: self.features.iter().any(|f| f == "subgroups"),
            subgroup_sizes: self.subgroup_sizes,
            int64: self.features.iter().any(|f| f == "int64"),
            texels: self.limits.max_texels > 0,
            f16: self.features.iter().any(|f| f == "f16"),
            packed_dot: self.backend != Backend::Dx12.name(),
            matrices: MatrixSize::ALL.map(|size| self.features.iter().any(|f| *f == matrices_of(size))),
        }
    }

    /// What files of a cache must have been made with to be good here.
    pub fn origin(&self) -> Origin {
        Origin {
            adapter: self.name.clone(),
            backend: self.backend.clone(),
            vendor_id: self.vendor_id,
            device_id: self.device_id,
            driver: format!("{} {}", self.driver, self.driver_info).trim().to_owned(),
            wgpt: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn label(&self) -> String {
        format!("{} '{}' ({})", self.index, self.name, self.backend)
    }
}

/// The limits that decide what fits.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct DeviceLimits {
    pub max_buffer_size: u64,
    pub max_storage_binding: u64,
    pub max_storage_buffers: u32,
    pub max_workgroup_memory: u32,
    pub max_workgroup_invocations: u32,
    /// Of memory in texels, of whatever size; 0 where kernels cannot load and store such memory.
    pub max_texels: u64,
}

/// An adapter of wgpu's with its description.
pub(super) struct Candidate {
    pub adapter: wgpu::Adapter,
    pub info: DeviceInfo,
}

/// Every adapter of every backend.
pub fn devices() -> Vec<DeviceInfo> {
    candidates(wgpu::Backends::all()).into_iter().map(|c| c.info).collect()
}

/// Every adapter that the selector lets through, in the order of [`devices`].
///
/// # Errors
/// When there is none.
pub fn matching(selector: &DeviceSelector) -> Result<Vec<DeviceInfo>, AdapterError> {
    let mut found = candidates(wgpu::Backends::all());
    restrict(&mut found, selector.backend)?;
    if let Some(wanted) = &selector.device {
        let positions = positions_of(wanted, &found)?;
        return Ok(positions.into_iter().map(|position| found[position].info.clone()).collect());
    }
    Ok(found.into_iter().map(|c| c.info).collect())
}

/// The adapter that the selector names, or the best one.
///
/// GL is looked at only when it is asked for or nothing else is there: its libraries are slow to start and print to stderr.
pub(super) fn select(selector: &DeviceSelector) -> Result<Candidate, AdapterError> {
    let native = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut found = if selector == &DeviceSelector::default() {
        let found = candidates(native);
        let suffices = found.iter().any(|c| c.info.usable && !c.info.is_software());
        if suffices { found } else { candidates(wgpu::Backends::all()) }
    } else {
        candidates(wgpu::Backends::all())
    };
    restrict(&mut found, selector.backend)?;
    let position = match &selector.device {
        Some(wanted) => positions_of(wanted, &found)?[0],
        None => best(&found).unwrap_or(0),
    };
    let chosen = found.swap_remove(position);
    if !chosen.info.usable {
        let reason = chosen.info.notice.clone().unwrap_or_default();
        return Err(AdapterError::Unusable { name: chosen.info.name, reason });
    }
    Ok(chosen)
}

/// Keeps the adapters of a backend; at least one, or it is an error.
fn restrict(found: &mut Vec<Candidate>, backend: Option<Backend>) -> Result<(), AdapterError> {
    if let Some(backend) = backend {
        // Positions count over all backends.
        found.retain(|c| c.info.backend == backend.name());
    }
    if found.is_empty() { Err(backend.map_or(AdapterError::None, AdapterError::NoBackend)) } else { Ok(()) }
}

/// Positions in `found`, at least one: of the adapter with that index, or of those with that in their name.
fn positions_of(wanted: &str, found: &[Candidate]) -> Result<Vec<usize>, AdapterError> {
    let lower = wanted.to_lowercase();
    let matches = |info: &DeviceInfo| match wanted.parse::<usize>() {
        Ok(index) => info.index == index,
        Err(_) => !lower.is_empty() && info.name.to_lowercase().contains(&lower),
    };
    let positions: Vec<usize> = (0..found.len()).filter(|position| matches(&found[*position].info)).collect();
    if positions.is_empty() {
        let available = found.iter().map(|c| c.info.label()).collect();
        return Err(AdapterError::NoMatch { wanted: wanted.to_owned(), available });
    }
    Ok(positions)
}

fn candidates(backends: wgpu::Backends) -> Vec<Candidate> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::empty(),
        memory_budget_thresholds: wgpu::MemoryBudgetThresholds {
            for_resource_creation: Some(95),
            for_device_loss: None,
        },
        backend_options: wgpu::BackendOptions::from_env_or_default(),
        display: None,
    });
    let adapters = pollster::block_on(instance.enumerate_adapters(backends));
    let mut found: Vec<Candidate> = adapters
        .into_iter()
        .enumerate()
        .map(|(index, adapter)| Candidate { info: describe(index, &adapter), adapter })
        .collect();
    if let Some(best) = best(&found) {
        found[best].info.selected = true;
    }
    found
}

/// The first of the best kind, in the order of wgpu's own list.
fn best(found: &[Candidate]) -> Option<usize> {
    let usable = found.iter().enumerate().filter(|(_, c)| c.info.usable);
    usable.min_by_key(|(_, c)| preference(c)).map(|(position, _)| position)
}

/// Real GPUs before software ones, the native APIs before GL, and any other software driver before SwiftShader, which is
/// several times slower than Mesa's.
fn preference(candidate: &Candidate) -> (u32, bool, bool) {
    let info = candidate.adapter.get_info();
    let kind = match info.device_type {
        _ if candidate.info.is_software() => 4,
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    };
    (kind, info.backend == wgpu::Backend::Gl, info.name.contains("SwiftShader"))
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> DeviceInfo {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let fault = known_fault(&info).or_else(|| missing(adapter));
    let software = is_software(&info);
    let notice = match &fault {
        Some(fault) => Some(fault.clone()),
        None if software => Some("a CPU that emulates a GPU: everything works, slowly".to_owned()),
        None => None,
    };
    let mut described = DeviceInfo {
        index,
        name: info.name.clone(),
        backend: match info.backend {
            wgpu::Backend::Vulkan => "vulkan",
            wgpu::Backend::Metal => "metal",
            wgpu::Backend::Dx12 => "dx12",
            wgpu::Backend::Gl => "gl",
            wgpu::Backend::Noop | wgpu::Backend::BrowserWebGpu => "other",
        }
        .to_owned(),
        device_type: match info.device_type {
            _ if software => "software",
            wgpu::DeviceType::DiscreteGpu => "discrete GPU",
            wgpu::DeviceType::IntegratedGpu => "integrated GPU",
            wgpu::DeviceType::VirtualGpu => "virtual GPU",
            wgpu::DeviceType::Other | wgpu::DeviceType::Cpu => "other",
        }
        .to_owned(),
        driver: info.driver.clone(),
        driver_info: info.driver_info.clone(),
        vendor_id: info.vendor,
        device_id: info.device,
        usable: fault.is_none(),
        notice,
        subgroup_sizes: match info.backend {
            // wgpu says 4 to 64 of all that Metal reaches; Apple's own have 32 (Metal feature set tables, SIMD-scoped operations).
            wgpu::Backend::Metal if is_apple(&info.name) => (32, 32),
            _ => (info.subgroup_min_size, info.subgroup_max_size),
        },
        features: features_that_matter(adapter),
        limits: DeviceLimits {
            max_buffer_size: limits.max_buffer_size,
            max_storage_binding: limits.max_storage_buffer_binding_size,
            max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
            max_workgroup_memory: limits.max_compute_workgroup_storage_size,
            max_workgroup_invocations: limits.max_compute_invocations_per_workgroup,
            max_texels: texels::most(&limits),
        },
        kernels: Vec::new(),
        selected: false,
    };
    described.kernels = Choices::for_adapter(&described.facts()).describe();
    described
}

/// GL reports llvmpipe as `Other` or `Cpu`, by driver.
fn is_software(info: &wgpu::AdapterInfo) -> bool {
    info.device_type == wgpu::DeviceType::Cpu || info.name.to_lowercase().contains("llvmpipe")
}

fn is_apple(name: &str) -> bool {
    name.starts_with("Apple")
}

/// Mesa's software rasterisers before 23 stop a shader after 65,535 loop iterations, without an error.
fn known_fault(info: &wgpu::AdapterInfo) -> Option<String> {
    let version = mesa_major(&info.driver_info)?;
    (is_software(info) && version < 23).then(|| {
        format!(
            "Mesa {version}'s software driver cuts long loops short and would make wrong text; install Mesa 25 \
             (on Debian 12: mesa-vulkan-drivers from bookworm-backports)"
        )
    })
}

/// What the baseline kernels need and the adapter lacks.
fn missing(adapter: &wgpu::Adapter) -> Option<String> {
    let limits = adapter.limits();
    let lacks = |what: &str| Some(format!("it lacks {what}, which the kernels need"));
    if !adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS) {
        return lacks("compute shaders");
    }
    if !adapter.features().contains(wgpu::Features::IMMEDIATES) || limits.max_immediate_size < 64 {
        return lacks("immediates (push constants) of 64 bytes");
    }
    if limits.max_storage_buffers_per_shader_stage < 8 {
        return lacks("8 storage buffers a kernel");
    }
    if limits.max_compute_invocations_per_workgroup < 256 || limits.max_compute_workgroup_storage_size < 16 << 10 {
        return lacks("workgroups of 256 threads with 16 KiB of memory");
    }
    None
}

fn mesa_major(driver_info: &str) -> Option<u32> {
    let (_, rest) = driver_info.split_once("Mesa ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn features_that_matter(adapter: &wgpu::Adapter) -> Vec<String> {
    let features = adapter.features();
    let plain = [
        (wgpu::Features::IMMEDIATES, "immediates"),
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::SHADER_INT64, "int64"),
        (wgpu::Features::SHADER_F16, "f16"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamps"),
        (wgpu::Features::PIPELINE_CACHE, "pipeline cache"),
    ]
    .into_iter()
    .filter(|(feature, _)| features.contains(*feature))
    .map(|(_, name)| name.to_owned());
    plain.chain(MatrixSize::ALL.into_iter().filter(|size| has_matrices(adapter, *size)).map(matrices_of)).collect()
}

/// The name of matrix units among an adapter's features.
fn matrices_of(size: MatrixSize) -> String {
    format!("cooperative matrices of {0} x {0}", size.rows())
}

/// Whether the adapter meets [`Requirement::CooperativeMatrix`].
fn has_matrices(adapter: &wgpu::Adapter, size: MatrixSize) -> bool {
    let fits = |p: &wgpu::CooperativeMatrixProperties| {
        [p.m_size, p.n_size, p.k_size] == [size.rows(); 3]
            && p.ab_type == wgpu::CooperativeScalarType::F16
            && p.cr_type == wgpu::CooperativeScalarType::F32
    };
    adapter.features().contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16)
        && adapter.limits().max_compute_workgroup_storage_size >= 32 << 10
        && adapter.cooperative_matrix_properties().iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mesa_versions_are_read_from_either_backends_string() {
        assert_eq!(mesa_major("Mesa 22.3.6 (LLVM 15.0.6)"), Some(22));
        assert_eq!(mesa_major("4.5 (Core Profile) Mesa 25.0.7-2~bpo12+1"), Some(25));
        assert_eq!(mesa_major("590.48.01"), None);
    }

    #[test]
    fn backends_are_named_case_insensitively() {
        assert_eq!("Vulkan".parse(), Ok(Backend::Vulkan));
        assert!("directx".parse::<Backend>().unwrap_err().contains("dx12"));
    }
}
