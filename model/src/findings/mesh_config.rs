//! Mesh-wide settings that cannot be used. They are no object with a status: the log and `/debug/problemz` tell of them.

use super::FindingKind::Ignored;
use super::list::{At, List};
use crate::config::{Settings, access_log};

pub(super) fn look(settings: &Settings, list: &mut List) {
    if let Some(problem) = access_log::format_problem(&settings.config) {
        list.error(
            Ignored,
            &At::of("accessLogFormat".to_owned()),
            format_args!("{problem}; the default format is used until it is mended"),
        );
    }
}
