//! Volumes as a container sees them: mounts, and the files of ConfigMaps and Secrets.

use std::collections::BTreeMap;

use longshore_crds::workload::{
    ConfigMapVolume, Container, ContentItem, HostPathType, MountPropagation, NamedVolume, SecretVolume,
    TmpfsVolume, Volume, VolumeMount,
};
use longshore_plan::names::DnsLabel;
use longshore_plan::spec::{ContentFile, Mount, MountSource, Propagation};

use super::content::ContentKind;
use super::context::Context;
use super::problem::RenderProblem;

/// The permission bits of a file nobody said anything about.
const DEFAULT_MODE: u32 = 0o644;

/// The mounts of one container.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// In declared order.
    pub(super) mounts: Vec<Mount>,
    /// The files that change in place, by volume.
    pub(super) content: BTreeMap<String, Vec<ContentFile>>,
}

/// Renders the mounts of `container`. With `replace` the files are part of the mount, so that a change of
/// content makes another container; without, they are beside it and are swapped in place.
pub(super) fn render(
    context: &mut Context<'_>,
    field: &str,
    workload: &DnsLabel,
    container: &Container,
    volumes: &[Volume],
    replace: bool,
) -> Mounts {
    let mut rendered = Mounts::default();
    for (index, mount) in container.volume_mounts.iter().enumerate() {
        let field = format!("{field}.volumeMounts[{index}]");
        let VolumeMount {
            name,
            mount_path,
            read_only,
            mount_propagation,
        } = mount;
        let Some((place, volume)) = volumes
            .iter()
            .enumerate()
            .find(|(_, volume)| volume.name == *name)
        else {
            context.problem(RenderProblem::Unknown {
                field: format!("{field}.name"),
                what: "volume",
                name: name.clone(),
            });
            continue;
        };
        let propagation = match mount_propagation {
            None | Some(MountPropagation::None) => None,
            Some(MountPropagation::HostToContainer) => Some(Propagation::Rslave),
            Some(MountPropagation::Bidirectional) => Some(Propagation::Rshared),
        };
        if propagation.is_some() && volume.host_path.is_none() {
            context.invalid(
                &format!("{field}.mountPropagation"),
                "is for hostPath volumes only",
            );
        }
        let volume_field = format!("spec.template.volumes[{place}]");
        let Some(mut source) = source(context, &volume_field, workload, volume) else {
            continue;
        };
        let is_content = matches!(source, MountSource::Content { .. });
        if let MountSource::Content { name, files } = &mut source
            && !replace
        {
            rendered.content.insert(name.clone(), std::mem::take(files));
        }
        rendered.mounts.push(Mount {
            target: mount_path.clone(),
            source,
            // Files are the agent's and are shared between a container and its successor.
            read_only: *read_only == Some(true) || is_content,
            propagation,
        });
    }
    rendered
}

/// How many sources a volume has; one is right.
pub(super) fn sources(volume: &Volume) -> usize {
    let Volume {
        name: _,
        host_path,
        named_volume,
        config_map,
        secret,
        tmpfs,
    } = volume;
    let present = [
        host_path.is_some(),
        named_volume.is_some(),
        config_map.is_some(),
        secret.is_some(),
        tmpfs.is_some(),
    ];
    present.into_iter().filter(|present| *present).count()
}

/// The engine's name of a named volume.
pub(super) fn engine_name(workload: &DnsLabel, volume: &Volume, named: &NamedVolume) -> String {
    let own = || format!("{workload}.{}", volume.name);
    named.volume_name.clone().unwrap_or_else(own)
}

/// Absent for a volume without a source, which is a problem already.
fn source(
    context: &mut Context<'_>,
    field: &str,
    workload: &DnsLabel,
    volume: &Volume,
) -> Option<MountSource> {
    let name = volume.name.clone();
    if let Some(host) = &volume.host_path {
        Some(MountSource::HostPath {
            path: host.path.clone(),
            create: match host.kind {
                None | Some(HostPathType::Unset) => false,
                Some(HostPathType::DirectoryOrCreate) => true,
            },
        })
    } else if let Some(named) = &volume.named_volume {
        Some(MountSource::Volume {
            name: engine_name(workload, volume, named),
        })
    } else if let Some(ConfigMapVolume {
        name: object,
        items,
        default_mode,
        optional,
    }) = &volume.config_map
    {
        let files = Files {
            field: format!("{field}.configMap"),
            kind: ContentKind::ConfigMap,
            object,
            items,
            default_mode,
            optional,
        };
        Some(MountSource::Content {
            name,
            files: files.render(context),
        })
    } else if let Some(SecretVolume {
        secret_name: object,
        items,
        default_mode,
        optional,
    }) = &volume.secret
    {
        let files = Files {
            field: format!("{field}.secret"),
            kind: ContentKind::Secret,
            object,
            items,
            default_mode,
            optional,
        };
        Some(MountSource::Content {
            name,
            files: files.render(context),
        })
    } else {
        let TmpfsVolume { size_limit } = volume.tmpfs.as_ref()?;
        let size_bytes = context.bytes(&format!("{field}.tmpfs.sizeLimit"), size_limit.as_ref());
        Some(MountSource::Tmpfs { size_bytes })
    }
}

/// A ConfigMap or Secret as files.
struct Files<'a> {
    field: String,
    kind: ContentKind,
    object: &'a str,
    items: &'a [ContentItem],
    default_mode: &'a Option<u32>,
    optional: &'a Option<bool>,
}

impl Files<'_> {
    /// The files, sorted by path.
    fn render(&self, context: &mut Context<'_>) -> Vec<ContentFile> {
        let optional = *self.optional == Some(true);
        let mut files = Vec::new();
        if self.items.is_empty() {
            for (key, content) in context.keys(&self.field, self.kind, self.object, optional) {
                let mode = self.mode(None);
                files.push(ContentFile {
                    path: key,
                    content,
                    mode,
                });
            }
        }
        for (index, ContentItem { key, path, mode }) in self.items.iter().enumerate() {
            let field = format!("{}.items[{index}]", self.field);
            if path.starts_with('/') || path.is_empty() || path.split('/').any(|part| part == "..") {
                context.invalid(&format!("{field}.path"), "must be a relative path without '..'");
            }
            let Some(content) = context.key(&field, self.kind, self.object, key, optional) else {
                continue;
            };
            files.push(ContentFile {
                path: path.clone(),
                content,
                mode: self.mode(*mode),
            });
        }
        files.sort();
        files
    }

    fn mode(&self, own: Option<u32>) -> Option<u32> {
        own.or(*self.default_mode).filter(|mode| *mode != DEFAULT_MODE)
    }
}
