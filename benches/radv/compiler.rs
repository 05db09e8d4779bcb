//! Mesa's RADV as a compiler: SPIR-V in, the driver's own statistics and assembly out. Nothing runs: with
//! `RADV_FORCE_FAMILY` set, RADV offers a device that has no hardware behind it, but compiles as if it had.

use std::ffi::{CStr, c_char};

use anyhow::{Context, Result, bail};
use ash::{khr, vk};

/// What the driver reads when it is loaded: it must be in the environment of a process before its first Vulkan call.
pub const FAMILY_VARIABLE: &str = "RADV_FORCE_FAMILY";

/// The extension that tells of matrix units.
const MATRICES: &CStr = khr::cooperative_matrix::NAME;

const ADVICE: &str = "install Mesa's Vulkan drivers (Debian: mesa-vulkan-drivers, Fedora: mesa-vulkan-drivers, \
                      Arch: vulkan-radeon) and the Vulkan loader (libvulkan1)";

/// A RADV device that compiles.
pub struct Compiler {
    /// The family that it compiles for, as the driver names it.
    pub device: String,
    /// The driver's version.
    pub driver: String,
    /// Whether it compiles for matrix units.
    pub matrix_units: bool,
    executables: khr::pipeline_executable_properties::Device,
    handle: ash::Device,
    instance: ash::Instance,
    /// The loader: it must outlive all that came from it.
    _entry: ash::Entry,
}

/// One shader to compile, with the entry point `main`.
pub struct Shader<'a> {
    pub spirv: &'a [u32],
    /// The numbers of the storage buffers of group 0.
    pub bindings: &'a [u32],
    /// Bytes of its parameters.
    pub immediate_size: u32,
}

/// What the driver says about a compiled shader.
pub struct Compiled {
    pub subgroup_size: u32,
    /// By the driver's own names.
    pub statistics: Vec<(String, u64)>,
    /// The machine code in words.
    pub assembly: String,
}

impl Compiler {
    /// Opens the device of the family that the environment names.
    ///
    /// # Errors
    /// When there is no Vulkan loader or no RADV, or RADV knows no such family.
    pub fn open() -> Result<Compiler> {
        // SAFETY: loading a library runs its initialisers; the Vulkan loader's are harmless.
        let entry = unsafe { ash::Entry::load() }.with_context(|| format!("no Vulkan loader was found; {ADVICE}"))?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let info = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the structures live until the call returns.
        let instance = unsafe { entry.create_instance(&info, None) }
            .with_context(|| format!("the Vulkan loader found no driver that works; {ADVICE}"))?;
        let (physical, device, driver) = radv(&instance)?;
        // SAFETY: the instance is alive, and the device is its.
        let extensions = unsafe { instance.enumerate_device_extension_properties(physical) }?;
        let matrix_units =
            extensions.iter().any(|extension| text(&extension.extension_name).as_bytes() == MATRICES.to_bytes());
        let handle =
            create_device(&instance, physical, matrix_units).with_context(|| format!("{device} does not open"))?;
        let executables = khr::pipeline_executable_properties::Device::new(&instance, &handle);
        Ok(Compiler { device, driver, matrix_units, executables, handle, instance, _entry: entry })
    }

    /// Compiles a shader to a pipeline, as wgpu would, and reads what the driver knows about it.
    pub fn compile(&self, shader: &Shader) -> Result<Compiled> {
        let buffers: Vec<_> = shader.bindings.iter().map(|binding| storage_buffer(*binding)).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&buffers);
        let ranges = [vk::PushConstantRange::default()
            .stage_flags(vk::ShaderStageFlags::COMPUTE)
            .size(shader.immediate_size.max(4))];
        let module = vk::ShaderModuleCreateInfo::default().code(shader.spirv);
        // SAFETY: naga has validated the shader; every handle comes from this device, is used while it exists, and is
        // destroyed once, after its last use. An error leaves a layout or a module behind until the process ends.
        unsafe {
            let set = self.handle.create_descriptor_set_layout(&set, None)?;
            let sets = [set];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&ranges);
            let layout = self.handle.create_pipeline_layout(&layout, None)?;
            let module = self.handle.create_shader_module(&module, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .flags(vk::PipelineShaderStageCreateFlags::ALLOW_VARYING_SUBGROUP_SIZE)
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let info = vk::ComputePipelineCreateInfo::default().stage(stage).layout(layout).flags(capture);
            let pipelines = self.handle.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = pipelines.map_err(|(_, error)| error)?[0];
            let compiled = self.inspect(pipeline);
            self.handle.destroy_pipeline(pipeline, None);
            self.handle.destroy_shader_module(module, None);
            self.handle.destroy_pipeline_layout(layout, None);
            self.handle.destroy_descriptor_set_layout(set, None);
            compiled
        }
    }

    /// # Safety
    /// The pipeline must be one of this device, made with statistics and internal representations captured.
    unsafe fn inspect(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let executable = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        let whole = vk::PipelineInfoKHR::default().pipeline(pipeline);
        // SAFETY: the caller's promise; a compute pipeline is one executable, number 0.
        let (properties, statistics) = unsafe {
            let properties = self.executables.get_pipeline_executable_properties(&whole)?;
            (properties, self.executables.get_pipeline_executable_statistics(&executable)?)
        };
        let [properties] = properties[..] else { bail!("{} executables in a compute pipeline", properties.len()) };
        let integer = |statistic: &vk::PipelineExecutableStatisticKHR| match statistic.format {
            // SAFETY: the driver says which member of the union it has set.
            vk::PipelineExecutableStatisticFormatKHR::UINT64 => Some(unsafe { statistic.value.u64 }),
            _ => None,
        };
        Ok(Compiled {
            subgroup_size: properties.subgroup_size,
            statistics: statistics.iter().filter_map(|s| Some((text(&s.name), integer(s)?))).collect(),
            // SAFETY: the caller's promise.
            assembly: unsafe { self.assembly(&executable)? },
        })
    }

    /// # Safety
    /// As for [`Self::inspect`].
    unsafe fn assembly(&self, executable: &vk::PipelineExecutableInfoKHR) -> Result<String> {
        // SAFETY: the caller's promise.
        let mut found = unsafe { self.executables.get_pipeline_executable_internal_representations(executable)? };
        let mut texts: Vec<Vec<u8>> = found.iter().map(|representation| vec![0; representation.data_size]).collect();
        for (representation, text) in found.iter_mut().zip(&mut texts) {
            representation.p_data = text.as_mut_ptr().cast();
        }
        let mut count = found.len() as u32;
        let get = self.executables.fp().get_pipeline_executable_internal_representations_khr;
        // SAFETY: the same call again: now each pointer leads to as many bytes as the driver asked for.
        unsafe { get(self.handle.handle(), executable, &mut count, found.as_mut_ptr()) }.result()?;
        let named = found.iter().zip(&texts).find(|(representation, _)| text(&representation.name) == "Assembly");
        let (_, assembly) = named.context("the driver gives no assembly")?;
        Ok(String::from_utf8_lossy(assembly).trim_end_matches('\0').to_owned())
    }
}

impl Drop for Compiler {
    fn drop(&mut self) {
        // SAFETY: all that was made from them is gone: `compile` destroys what it makes.
        unsafe {
            self.handle.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

/// RADV's device, its name and the driver's version, among whatever other drivers there are.
fn radv(instance: &ash::Instance) -> Result<(vk::PhysicalDevice, String, String)> {
    // SAFETY: the instance is alive.
    let devices = unsafe { instance.enumerate_physical_devices() }?;
    for device in devices {
        let mut driver = vk::PhysicalDeviceDriverProperties::default();
        let mut properties = vk::PhysicalDeviceProperties2::default().push_next(&mut driver);
        // SAFETY: the device is the instance's; the structures are chained by `push_next` and outlive the call.
        unsafe { instance.get_physical_device_properties2(device, &mut properties) };
        let name = text(&properties.properties.device_name);
        if driver.driver_id == vk::DriverId::MESA_RADV {
            return Ok((device, name, text(&driver.driver_info)));
        }
    }
    let family = std::env::var(FAMILY_VARIABLE).unwrap_or_default();
    bail!(
        "there is no RADV driver here, or it does not know the family '{family}'; {ADVICE}, or choose another --family"
    )
}

/// With what wgpu turns on for our shaders, and the extension that tells about pipelines.
fn create_device(
    instance: &ash::Instance,
    physical: vk::PhysicalDevice,
    matrix_units: bool,
) -> Result<ash::Device, vk::Result> {
    let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(0).queue_priorities(&[1.0])];
    let mut extensions = vec![khr::pipeline_executable_properties::NAME.as_ptr()];
    extensions.extend(matrix_units.then_some(MATRICES.as_ptr()));
    let mut executables =
        vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
    let mut matrices = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(matrix_units);
    let mut vulkan11 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
    let mut vulkan12 = vk::PhysicalDeviceVulkan12Features::default()
        .shader_int8(true)
        .shader_float16(true)
        .vulkan_memory_model(true)
        .vulkan_memory_model_device_scope(true);
    let mut vulkan13 =
        vk::PhysicalDeviceVulkan13Features::default().shader_integer_dot_product(true).subgroup_size_control(true);
    let mut info = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&extensions)
        .push_next(&mut executables)
        .push_next(&mut vulkan11)
        .push_next(&mut vulkan12)
        .push_next(&mut vulkan13);
    if matrix_units {
        info = info.push_next(&mut matrices);
    }
    // SAFETY: the physical device is the instance's; the structures outlive the call.
    unsafe { instance.create_device(physical, &info, None) }
}

fn storage_buffer(binding: u32) -> vk::DescriptorSetLayoutBinding<'static> {
    vk::DescriptorSetLayoutBinding::default()
        .binding(binding)
        .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
        .descriptor_count(1)
        .stage_flags(vk::ShaderStageFlags::COMPUTE)
}

/// A text of the driver's, in an array that it ends with a zero.
fn text(chars: &[c_char]) -> String {
    let bytes: &[u8] = bytemuck::cast_slice(chars);
    CStr::from_bytes_until_nul(bytes).map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
}
