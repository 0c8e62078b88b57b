//! A descriptor seen with the eyes of an importer.
//!
//! The schema of the format is not the whole story: references must lead
//! somewhere, and what made real hypervisors refuse a package must not come
//! back. No replacement for the schema, which a test asks when it has it.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    name::{Namespace, ResolveResult},
    reader::NsReader,
};

use crate::node::{
    descriptor::{ENVELOPE, RASD, VMW},
    properties::find,
};

/// A file that the descriptor names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its name in the archive.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a sound descriptor says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// The files of the package.
    pub files: Vec<NamedFile>,
    /// What the disk can hold, in bytes.
    pub capacity: Option<u64>,
}

/// An element with what it contains.
#[derive(Debug, Default)]
struct Element {
    /// `ovf:`, `rasd:`, `vmw:` or `?:` before the local name.
    name: String,
    /// Attributes, named likewise.
    attributes: BTreeMap<String, String>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    fn first(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn text_of(&self, name: &str) -> Option<&str> {
        self.first(name).map(|child| child.text.trim())
    }
}

/// Everything that an importer could stumble over, or what the descriptor says.
pub fn inspect(document: &str) -> Result<Inspected, Vec<String>> {
    let root = parse(document).map_err(|why| vec![why])?;
    let mut wrong = Vec::new();
    if root.name != "ovf:Envelope" {
        return Err(vec!["it is no OVF envelope".to_owned()]);
    }
    sections(&root, &mut wrong);
    let files = files(&root, &mut wrong);
    let capacity = disk(&root, &mut wrong);
    let options = options(&root, &mut wrong);
    match root.first("ovf:VirtualSystem") {
        Some(system) => {
            properties(system, &options, &mut wrong);
            match system.first("ovf:VirtualHardwareSection") {
                Some(hardware) => self::hardware(&root, hardware, &options, &mut wrong),
                None => wrong.push("there is no virtual hardware".to_owned()),
            }
        }
        None => wrong.push("there is no virtual system".to_owned()),
    }
    if wrong.is_empty() { Ok(Inspected { files, capacity }) } else { Err(wrong) }
}

/// The envelope's parts come in one order.
fn sections(root: &Element, wrong: &mut Vec<String>) {
    let order = [
        "ovf:References",
        "ovf:DiskSection",
        "ovf:NetworkSection",
        "ovf:DeploymentOptionSection",
        "ovf:VirtualSystem",
    ];
    let names: Vec<_> = root.children.iter().map(|child| child.name.as_str()).collect();
    if names != order {
        wrong.push(format!("its parts are {}, not {}", names.join(" "), order.join(" ")));
    }
}

fn files(root: &Element, wrong: &mut Vec<String>) -> Vec<NamedFile> {
    let named = root.first("ovf:References").into_iter().flat_map(|all| all.all("ovf:File"));
    let mut found = Vec::new();
    for file in named {
        let name = file.attribute("ovf:href").unwrap_or_default().to_owned();
        match file.attribute("ovf:size").and_then(|size| size.parse().ok()) {
            Some(size) => found.push(NamedFile { name, size }),
            None => wrong.push(format!("the file {name} has no size")),
        }
    }
    found
}

fn disk(root: &Element, wrong: &mut Vec<String>) -> Option<u64> {
    let disk = root.first("ovf:DiskSection")?.first("ovf:Disk")?;
    let file = disk.attribute("ovf:fileRef");
    let mut known = root.first("ovf:References")?.all("ovf:File");
    if !known.any(|known| known.attribute("ovf:id") == file) {
        wrong.push("the disk refers to a file that is not named".to_owned());
    }
    if !disk.attribute("ovf:format").is_some_and(|format| format.ends_with("#streamOptimized")) {
        wrong.push("the disk is not stream-optimised".to_owned());
    }
    let bytes = disk.attribute("ovf:capacityAllocationUnits") == Some("byte");
    let capacity = disk.attribute("ovf:capacity").and_then(|capacity| capacity.parse().ok());
    if !bytes || capacity.is_none() {
        wrong.push("the disk has no capacity in bytes".to_owned());
    }
    capacity
}

fn options<'a>(root: &'a Element, wrong: &mut Vec<String>) -> BTreeSet<&'a str> {
    let section = root.first("ovf:DeploymentOptionSection");
    let all: Vec<_> = section.into_iter().flat_map(|all| all.all("ovf:Configuration")).collect();
    let defaults = all.iter().filter(|option| option.attribute("ovf:default") == Some("true"));
    if defaults.count() != 1 {
        wrong.push("there must be one default deployment option".to_owned());
    }
    all.iter().filter_map(|option| option.attribute("ovf:id")).collect()
}

fn properties(system: &Element, options: &BTreeSet<&str>, wrong: &mut Vec<String>) {
    let section = system.first("ovf:ProductSection");
    let mut seen = BTreeSet::new();
    for property in section.into_iter().flat_map(|all| all.all("ovf:Property")) {
        let key = property.attribute("ovf:key").unwrap_or_default();
        if find(key).is_none() {
            wrong.push(format!("the property {key} is not known to the appliance"));
        }
        if !seen.insert(key) {
            wrong.push(format!("the property {key} is there twice"));
        }
        for value in property.all("ovf:Value") {
            let option = value.attribute("ovf:configuration").unwrap_or_default();
            if !options.contains(option) {
                wrong.push(format!("{key} has a value for {option}, which is no option"));
            }
        }
    }
    if seen.is_empty() {
        wrong.push("there are no properties".to_owned());
    }
}

fn hardware(root: &Element, hardware: &Element, options: &BTreeSet<&str>, wrong: &mut Vec<String>) {
    let items: Vec<_> = hardware.all("ovf:Item").collect();
    let instances: BTreeSet<_> =
        items.iter().filter_map(|item| item.text_of("rasd:InstanceID")).collect();
    let networks = root.first("ovf:NetworkSection");
    let networks: BTreeSet<_> = networks
        .into_iter()
        .flat_map(|all| all.all("ovf:Network"))
        .filter_map(|network| network.attribute("ovf:name"))
        .collect();
    for item in &items {
        let instance = item.text_of("rasd:InstanceID").unwrap_or("without number");
        let names: Vec<_> = item.children.iter().map(|child| child.name.as_str()).collect();
        if !names.is_sorted() {
            wrong.push(format!("the elements of item {instance} are not in alphabetical order"));
        }
        if let Some(parent) = item.text_of("rasd:Parent")
            && !instances.contains(parent)
        {
            wrong.push(format!("item {instance} hangs on item {parent}, which is missing"));
        }
        if let Some(network) = item.text_of("rasd:Connection")
            && !networks.contains(network)
        {
            wrong.push(format!("item {instance} is on the network {network}, which is missing"));
        }
        if let Some(option) = item.attribute("ovf:configuration")
            && !option.split(' ').all(|option| options.contains(option))
        {
            wrong.push(format!("item {instance} is for {option}, which is no option"));
        }
        let kind = item.text_of("rasd:ResourceType").unwrap_or_default();
        let subtype = item.text_of("rasd:ResourceSubType").unwrap_or_default();
        let fits = match kind {
            "5" => false,
            "6" => subtype == "VirtualSCSI",
            "10" => subtype == "VmxNet3",
            _ => true,
        };
        if !fits {
            wrong.push(format!("the image has no driver for item {instance} ({subtype})"));
        }
    }
    for config in hardware.all("vmw:Config") {
        if config.attribute("ovf:required") != Some("false") {
            let key = config.attribute("vmw:key").unwrap_or_default();
            wrong.push(format!("vmw:Config {key} must not be required"));
        }
    }
    let efi = |config: &&Element| {
        config.attribute("vmw:key") == Some("firmware")
            && config.attribute("vmw:value") == Some("efi")
    };
    if !hardware.all("vmw:Config").any(|config| efi(&config)) {
        wrong.push("the firmware is not EFI".to_owned());
    }
    let transport = hardware.attribute("ovf:transport").unwrap_or_default();
    if transport != "com.vmware.guestInfo iso" {
        wrong.push("the transport of the OVF environment is not guestInfo and iso".to_owned());
    }
}

fn parse(document: &str) -> Result<Element, String> {
    let broken = |error: quick_xml::Error| format!("it is no XML: {error}");
    let mut reader = NsReader::from_str(document);
    reader.config_mut().expand_empty_elements = true;
    let mut open: Vec<Element> = vec![Element::default()];
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(start) => open.push(element(&reader, &start)?),
            Event::End(_) => {
                let done = open.pop().unwrap_or_default();
                match open.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Err("it ends too often".to_owned()),
                }
            }
            Event::Text(text) => {
                if let Some(element) = open.last_mut() {
                    element.text.push_str(&text);
                }
            }
            Event::DocType(_) => return Err("it has a document type".to_owned()),
            Event::Eof => break,
            _ => {}
        }
    }
    let [outside] = &mut open[..] else { return Err("it ends too early".to_owned()) };
    match (outside.children.len(), outside.children.pop()) {
        (1, Some(root)) => Ok(root),
        _ => Err("it has not exactly one root".to_owned()),
    }
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Element, String> {
    let (namespace, local) = reader.resolver().resolve_element(start.name());
    let name = format!("{}{}", prefix(&namespace), local.as_ref());
    let mut attributes = BTreeMap::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("it is no XML: {error}"))?;
        let (namespace, local) = reader.resolver().resolve_attribute(attribute.key);
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("it is no XML: {error}"))?;
        attributes.insert(format!("{}{}", prefix(&namespace), local.as_ref()), value.into_owned());
    }
    Ok(Element { name, attributes, ..Element::default() })
}

fn prefix(namespace: &ResolveResult<'_>) -> &'static str {
    match namespace {
        ResolveResult::Bound(Namespace(ENVELOPE)) => "ovf:",
        ResolveResult::Bound(Namespace(RASD)) => "rasd:",
        ResolveResult::Bound(Namespace(VMW)) => "vmw:",
        _ => "?:",
    }
}
