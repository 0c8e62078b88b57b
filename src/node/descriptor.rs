//! The OVF descriptor: what a hypervisor reads before it makes a machine.
//!
//! Owns: the document, made from the tables of properties and deployment
//! options. The same input gives the same bytes.
//! Must not know: archives, digests, or what is on the disk.
//!
//! Import failures of real hypervisors are behind most of its form: elements of
//! hardware items in alphabetical order, one version of the virtual hardware
//! that old ones know with a guest id of that age, the paravirtual adapters that
//! the image has drivers for, the firmware by `vmw:Config`, and nothing of
//! VMware's that is required.

use std::fmt::Write as _;

use quick_xml::escape::escape;

use super::properties::{DeploymentOption, OPTIONS, Property, TABLE};

/// The namespace of descriptors.
pub const ENVELOPE: &str = "http://schemas.dmtf.org/ovf/envelope/1";
/// The namespace of the settings of hardware.
pub const RASD: &str =
    "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";
/// The namespace of the settings of machines.
const VSSD: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData";
/// VMware's own namespace.
pub const VMW: &str = "http://www.vmware.com/schema/ovf";
/// The format of the disk.
const DISK_FORMAT: &str =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";
/// ESXi 6.5 and everything since.
const HARDWARE: &str = "vmx-13";
/// The newest Debian that ESXi 6.5 knows.
const GUEST: &str = "debian10_64Guest";
/// What operators agree to.
const LICENCE: &str = include_str!("../../LICENSE");

/// What the descriptor says of the package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package<'a> {
    /// The version of the appliance.
    pub version: &'a str,
    /// The name of the disk's file in the archive.
    pub disk: &'a str,
    /// The size of that file in bytes.
    pub size: u64,
    /// What the disk can hold in bytes.
    pub capacity: u64,
}

/// The descriptor.
pub fn descriptor(package: &Package<'_>) -> String {
    let Package { version, disk, size, capacity } = package;
    let (version, disk) = (escape(*version), escape(*disk));
    let first = &OPTIONS[0];
    let options: String = OPTIONS.iter().map(|option| option_of(option, option == first)).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="{ENVELOPE}" xmlns:ovf="{ENVELOPE}" xmlns:rasd="{RASD}" xmlns:vssd="{VSSD}" xmlns:vmw="{VMW}">
  <References>
    <File ovf:id="file1" ovf:href="{disk}" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>The disk of the appliance; its last partition grows with it</Info>
    <Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:format="{DISK_FORMAT}"/>
  </DiskSection>
  <NetworkSection>
    <Info>The networks of the appliance</Info>
    <Network ovf:name="Management">
      <Description>Browsers, agents and the way out</Description>
    </Network>
    <Network ovf:name="Cluster">
      <Description>Between the three nodes of a cluster; not used otherwise</Description>
    </Network>
  </NetworkSection>
  <DeploymentOptionSection>
    <Info>Kinds and sizes</Info>
{options}  </DeploymentOptionSection>
  <VirtualSystem ovf:id="palisade">
    <Info>Palisade</Info>
    <Name>palisade</Name>
    <OperatingSystemSection ovf:id="96" vmw:osType="{GUEST}">
      <Info>The operating system</Info>
      <Description>Debian GNU/Linux (64-bit)</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection ovf:transport="com.vmware.guestInfo iso">
      <Info>The virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual hardware family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>palisade</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>{HARDWARE}</vssd:VirtualSystemType>
      </System>
{hardware}      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/>
      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="false"/>
      <vmw:Config ovf:required="false" vmw:key="tools.syncTimeWithHost" vmw:value="false"/>
    </VirtualHardwareSection>
    <ProductSection>
      <Info>What is deployed, and what to answer</Info>
      <Product>Palisade</Product>
      <Vendor>Palisade</Vendor>
      <Version>{version}</Version>
      <FullVersion>{version}</FullVersion>
{properties}    </ProductSection>
    <EulaSection>
      <Info>The licence</Info>
      <License>{licence}</License>
    </EulaSection>
  </VirtualSystem>
</Envelope>
"#,
        hardware = hardware(),
        properties = properties(),
        licence = escape(LICENCE.trim()),
    )
}

fn option_of(option: &DeploymentOption, is_default: bool) -> String {
    let default = if is_default { " ovf:default=\"true\"" } else { "" };
    format!(
        "    <Configuration ovf:id=\"{}\"{default}>\n      <Label>{}</Label>\n      \
         <Description>{}</Description>\n    </Configuration>\n",
        option.id,
        escape(option.label),
        escape(option.description)
    )
}

/// The properties, each group under its category.
fn properties() -> String {
    let mut text = String::new();
    let mut category = "";
    for property in TABLE {
        if property.category != category {
            category = property.category;
            let _ = writeln!(text, "      <Category>{}</Category>", escape(category));
        }
        text.push_str(&property_of(property));
    }
    text
}

fn property_of(property: &Property) -> String {
    let Property { key, label, description, default, default_of, .. } = property;
    let mut attributes = format!(
        "ovf:key=\"{key}\" ovf:type=\"{}\" ovf:qualifiers=\"{}\" ovf:userConfigurable=\"true\"",
        property.ovf_type(),
        escape(property.qualifiers()),
    );
    if property.is_password() {
        attributes.push_str(" ovf:password=\"true\"");
    }
    let _ = write!(attributes, " ovf:value=\"{}\"", escape(*default));
    let mut values = String::new();
    for (option, value) in *default_of {
        let value = escape(*value);
        let _ = writeln!(
            values,
            "        <Value ovf:value=\"{value}\" ovf:configuration=\"{option}\"/>"
        );
    }
    format!(
        "      <Property {attributes}>\n        <Label>{}</Label>\n        \
         <Description>{}</Description>\n{values}      </Property>\n",
        escape(*label),
        escape(*description)
    )
}

/// One item of hardware.
#[derive(Default)]
struct Item {
    /// For which deployment options; for all when empty.
    options: String,
    optional: bool,
    settings: Vec<(&'static str, String)>,
}

/// The value of a setting.
struct Setting(String);

impl From<&str> for Setting {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<u32> for Setting {
    fn from(number: u32) -> Self {
        Self(number.to_string())
    }
}

impl From<bool> for Setting {
    fn from(value: bool) -> Self {
        Self(value.to_string())
    }
}

impl Item {
    fn new(instance: u32, kind: u32, name: impl Into<String>) -> Self {
        let settings = vec![
            ("InstanceID", instance.to_string()),
            ("ResourceType", kind.to_string()),
            ("ElementName", name.into()),
        ];
        Self { settings, ..Self::default() }
    }

    fn with(mut self, name: &'static str, value: impl Into<Setting>) -> Self {
        self.settings.push((name, value.into().0));
        self
    }

    fn only_for(mut self, option: &str) -> Self {
        option.clone_into(&mut self.options);
        self
    }

    fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// With its elements in alphabetical order: the schema wants a sequence.
    fn text(mut self) -> String {
        self.settings.sort_unstable_by_key(|(name, _)| *name);
        let mut text = String::from("      <Item");
        if self.optional {
            text.push_str(" ovf:required=\"false\"");
        }
        if !self.options.is_empty() {
            let _ = write!(text, " ovf:configuration=\"{}\"", self.options);
        }
        text.push_str(">\n");
        for (name, value) in &self.settings {
            let value = escape(value.as_str());
            let _ = writeln!(text, "        <rasd:{name}>{value}</rasd:{name}>");
        }
        text.push_str("      </Item>\n");
        text
    }
}

fn hardware() -> String {
    let processors = |n: u32| {
        Item::new(1, 3, format!("{n} virtual processors"))
            .with("AllocationUnits", "hertz * 10^6")
            .with("Description", "Number of virtual processors")
            .with("VirtualQuantity", n)
    };
    let memory = |mib: u32| {
        Item::new(2, 4, format!("{mib} MB of memory"))
            .with("AllocationUnits", "byte * 2^20")
            .with("Description", "Memory size")
            .with("VirtualQuantity", mib)
    };
    let network = |instance: u32, name: &str| {
        Item::new(instance, 10, format!("Network adapter {}", instance - 6))
            .with("AddressOnParent", instance)
            .with("AutomaticAllocation", true)
            .with("Connection", name)
            .with("Description", "vmxnet3 adapter")
            .with("ResourceSubType", "VmxNet3")
    };
    let first = &OPTIONS[0];
    let mut items = vec![processors(first.processors), memory(first.memory)];
    // An item of an option replaces the one of the same instance for all.
    for option in &OPTIONS[1..] {
        if option.processors != first.processors {
            items.push(processors(option.processors).only_for(option.id));
        }
        if option.memory != first.memory {
            items.push(memory(option.memory).only_for(option.id));
        }
    }
    items.push(
        Item::new(3, 6, "SCSI controller 0")
            .with("Address", 0_u32)
            .with("Description", "Paravirtual SCSI controller")
            .with("ResourceSubType", "VirtualSCSI"),
    );
    items.push(
        Item::new(4, 20, "SATA controller 0")
            .with("Address", 0_u32)
            .with("Description", "SATA controller")
            .with("ResourceSubType", "vmware.sata.ahci"),
    );
    items.push(
        Item::new(5, 17, "Hard disk 1")
            .with("AddressOnParent", 0_u32)
            .with("HostResource", "ovf:/disk/disk1")
            .with("Parent", 3_u32),
    );
    items.push(
        Item::new(6, 15, "CD-ROM 1")
            .with("AddressOnParent", 0_u32)
            .with("AutomaticAllocation", false)
            .with("Parent", 4_u32)
            .with("ResourceSubType", "vmware.cdrom.remotepassthrough")
            .optional(),
    );
    items.push(network(7, "Management"));
    for option in OPTIONS.iter().filter(|option| option.cluster_network) {
        items.push(network(8, "Cluster").only_for(option.id));
    }
    items.into_iter().map(Item::text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> String {
        let package = Package {
            version: "1.2.3",
            disk: "palisade-disk1.vmdk",
            size: 1_000,
            capacity: 20 << 30,
        };
        descriptor(&package)
    }

    #[test]
    fn every_property_of_the_table_can_be_answered() {
        let text = example();
        for property in TABLE {
            let start = format!("<Property ovf:key=\"{}\" ovf:type=\"string\"", property.key);
            assert_eq!(text.matches(&start).count(), 1, "{}", property.key);
        }
        assert_eq!(text.matches("<Property ").count(), TABLE.len());
        let line = |key: &str| {
            let key = format!("ovf:key=\"{key}\"");
            text.lines().find(|line| line.contains(&key)).expect("a line").to_owned()
        };
        assert!(line("join_code").contains("ovf:password=\"true\""));
        assert!(!line("hostname").contains("password"));
        let roles = "ovf:qualifiers=\"ValueMap{&quot;standalone&quot;,&quot;ha-first&quot;,\
                     &quot;ha-join&quot;,&quot;pcg&quot;}\"";
        assert!(line("role").contains(roles), "{}", line("role"));
        assert!(text.contains("<Value ovf:value=\"ha-first\" ovf:configuration=\"ha\"/>"));
    }

    #[test]
    fn the_smallest_option_is_the_default_and_ha_has_a_second_adapter() {
        let text = example();
        assert!(text.contains("<Configuration ovf:id=\"standalone-small\" ovf:default=\"true\">"));
        assert_eq!(text.matches("ovf:default").count(), 1);
        assert_eq!(text.matches("<rasd:ResourceSubType>VmxNet3<").count(), 2);
        let second = text.find("<rasd:Connection>Cluster<").expect("there");
        let item = text[..second].rfind("<Item").expect("there");
        assert!(text[item..].starts_with("<Item ovf:configuration=\"ha\">"));
    }

    #[test]
    fn what_the_image_has_no_drivers_for_is_not_asked_for() {
        let text = example();
        for wrong in ["lsilogic", "E1000", "PIIX4", "ExtraConfig", "ovf:required=\"true\""] {
            assert!(!text.contains(wrong), "{wrong}");
        }
        assert!(text.contains("vmw:key=\"firmware\" vmw:value=\"efi\""));
        assert!(text.contains("ovf:transport=\"com.vmware.guestInfo iso\""));
    }

    #[test]
    fn names_from_outside_cannot_change_the_document() {
        let package = Package { version: "1\"<&", disk: "a&b.vmdk", size: 1, capacity: 1 };
        let text = descriptor(&package);
        assert!(text.contains("<Version>1&quot;&lt;&amp;</Version>"), "{text}");
        assert!(text.contains("ovf:href=\"a&amp;b.vmdk\""));
    }
}
