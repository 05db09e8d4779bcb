//! Which kernels a device gets: the table's, those that were measured to be faster, or those that the user wants.

use std::path::Path;

use super::adapter::DeviceInfo;
use crate::cache::CacheFile;
use crate::kernels::{Choices, Forced, ForcedError, Tuning};

impl DeviceInfo {
    /// The kernel of each role: forced ones come before those that `wgpt tune` has left in the folder, and these before the
    /// defaults. Beside them, why the folder's file was ignored if it was.
    ///
    /// # Errors
    /// The device cannot run what is forced.
    pub fn choices(&self, folder: Option<&Path>, forced: &Forced) -> Result<(Choices, Option<String>), ForcedError> {
        let mut choices = Choices::for_adapter(&self.facts());
        let read = folder.map_or(Ok(None), |folder| Tuning::read(&self.tuning_file(folder)));
        let notice = match read {
            Ok(tuning) => {
                tuning.iter().for_each(|tuning| choices.tune(tuning));
                None
            }
            Err(ignored) => Some(ignored.to_string()),
        };
        choices.force(forced)?;
        Ok((choices, notice))
    }

    /// Where `wgpt tune` keeps what it measured on this device.
    pub fn tuning_file(&self, folder: &Path) -> CacheFile {
        CacheFile::new(folder, Tuning::KIND, self.origin())
    }
}
