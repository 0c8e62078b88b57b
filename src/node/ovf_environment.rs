//! The OVF environment: the XML in which a hypervisor hands over the answers.
//!
//! Owns: reading it. It comes from outside, so names count with their
//! namespaces, entities other than the five of XML are refused, and so are
//! document types, large documents and deep ones.
//! Must not know: how it got here, or what the answers mean.

use std::collections::BTreeSet;

use quick_xml::{
    XmlVersion,
    events::{BytesStart, Event},
    name::{Namespace, ResolveResult},
    reader::NsReader,
};

use super::properties::RawAnswers;

/// The namespace of the environment and of its attributes.
const NAMESPACE: &str = "http://schemas.dmtf.org/ovf/environment/1";
/// The largest document: every property at its longest, several times over.
pub const MOST_BYTES: usize = 256 * 1024;
/// The deepest nesting; the format needs three.
const MOST_DEPTH: usize = 32;

/// Why a document is no OVF environment. Never repeats values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// More than [`MOST_BYTES`].
    #[error("it is larger than {} KiB", MOST_BYTES / 1024)]
    TooLarge,
    /// Broken XML.
    #[error("it is no XML: {0}")]
    Xml(String),
    /// A document type or an entity that is not of XML itself.
    #[error("it has a document type or an entity of its own")]
    Entity,
    /// Nested too deeply.
    #[error("it is nested too deeply")]
    TooDeep,
    /// Something else than an environment.
    #[error("it is no OVF environment")]
    OtherDocument,
    /// The same property twice.
    #[error("the property {0} is in it twice")]
    Twice(String),
}

/// Reads the properties of the machine itself: those in a section directly below
/// the root, not those of other machines of a vApp, which are in entities.
pub fn read(document: &str) -> Result<RawAnswers, Unreadable> {
    if document.len() > MOST_BYTES {
        return Err(Unreadable::TooLarge);
    }
    let mut reader = NsReader::from_str(document.trim_start_matches('\u{feff}').trim_start());
    reader.config_mut().expand_empty_elements = true;
    let mut answers = RawAnswers::default();
    let mut seen = BTreeSet::new();
    let mut open: Vec<Element> = Vec::new();
    let mut has_root = false;
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(start) => {
                let element = element(&reader, &start);
                if open.is_empty() && (has_root || element != Element::Environment) {
                    return Err(Unreadable::OtherDocument);
                }
                has_root = true;
                if element == Element::Property
                    && open == [Element::Environment, Element::PropertySection]
                    && let Some((key, value)) = property(&reader, &start)?
                {
                    if !seen.insert(key.clone()) {
                        return Err(Unreadable::Twice(key));
                    }
                    answers.set(key, value);
                }
                open.push(element);
                if open.len() > MOST_DEPTH {
                    return Err(Unreadable::TooDeep);
                }
            }
            // The reader has seen that the names of start and end are the same.
            Event::End(_) => drop(open.pop()),
            Event::DocType(_) => return Err(Unreadable::Entity),
            Event::GeneralRef(reference) if !is_of_xml(&reference) => {
                return Err(Unreadable::Entity);
            }
            Event::Eof if !has_root => return Err(Unreadable::OtherDocument),
            Event::Eof if open.is_empty() => return Ok(answers),
            Event::Eof => return Err(Unreadable::Xml("it ends too early".to_owned())),
            _ => {}
        }
    }
}

/// What matters of the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Environment,
    PropertySection,
    Property,
    Other,
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Element {
    let (namespace, name) = reader.resolver().resolve_element(start.name());
    if !is_ours(&namespace) {
        return Element::Other;
    }
    match name.as_ref() {
        "Environment" => Element::Environment,
        "PropertySection" => Element::PropertySection,
        "Property" => Element::Property,
        _ => Element::Other,
    }
}

fn property(
    reader: &NsReader<&[u8]>,
    start: &BytesStart<'_>,
) -> Result<Option<(String, String)>, Unreadable> {
    let (mut key, mut value) = (None, String::new());
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| Unreadable::Xml(error.to_string()))?;
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        if !is_ours(&namespace) {
            continue;
        }
        // Knows the five entities of XML and none else.
        let text = attribute.normalized_value(XmlVersion::Implicit1_0).map_err(broken)?;
        match name.as_ref() {
            "key" => key = Some(text.into_owned()),
            "value" => value = text.into_owned(),
            _ => {}
        }
    }
    Ok(key.map(|key| (key, value)))
}

fn is_ours(namespace: &ResolveResult<'_>) -> bool {
    matches!(namespace, ResolveResult::Bound(Namespace(NAMESPACE)))
}

/// A character by its number, or one of the five.
fn is_of_xml(reference: &str) -> bool {
    reference.starts_with('#') || matches!(reference, "lt" | "gt" | "amp" | "apos" | "quot")
}

fn broken(error: quick_xml::Error) -> Unreadable {
    match error {
        quick_xml::Error::Escape(quick_xml::escape::EscapeError::UnrecognizedEntity(..)) => {
            Unreadable::Entity
        }
        other => Unreadable::Xml(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(inside: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <Environment xmlns="http://schemas.dmtf.org/ovf/environment/1"
                xmlns:oe="http://schemas.dmtf.org/ovf/environment/1"
                xmlns:ve="http://www.vmware.com/schema/ovfenv" oe:id="" ve:vCenterId="vm-7">
              <PlatformSection><Kind>VMware ESXi</Kind><Version>8.0.3</Version></PlatformSection>
              {inside}
            </Environment>"#
        )
    }

    fn property(key: &str, value: &str) -> String {
        format!(r#"<Property oe:key="{key}" oe:value="{value}"/>"#)
    }

    #[test]
    fn the_properties_of_this_machine_are_read() {
        let own = property("hostname", "one.example.com") + &property("dns", "");
        let section = format!("<PropertySection>{own}</PropertySection>");
        let other = property("hostname", "two.example.com");
        let entity =
            format!(r#"<Entity oe:id="two"><PropertySection>{other}</PropertySection></Entity>"#);
        let answers = read(&environment(&(section + &entity))).expect("read");
        assert_eq!(answers.iter().collect::<Vec<_>>(), [("hostname", "one.example.com")]);
    }

    #[test]
    fn names_count_with_their_namespace_whatever_the_prefix() {
        let document = r#"<a:Environment xmlns:a="http://schemas.dmtf.org/ovf/environment/1"
            xmlns:b="urn:other"><a:PropertySection>
            <a:Property a:key="role" a:value="pcg" b:value="standalone"/>
            <b:Property a:key="dns" a:value="192.0.2.1"/>
            <a:Property key="ntp" value="192.0.2.1"/></a:PropertySection></a:Environment>"#;
        let answers = read(document).expect("read");
        assert_eq!(answers.iter().collect::<Vec<_>>(), [("role", "pcg")]);
        let foreign = document.replace("ovf/environment/1", "ovf/envelope/1");
        assert_eq!(read(&foreign), Err(Unreadable::OtherDocument));
    }

    #[test]
    fn characters_may_be_written_as_the_five_entities_and_as_numbers() {
        let section = property("search_domain", "&lt;&gt;&amp;&apos;&quot;&#65;&#x42;");
        let document = environment(&format!("<PropertySection>{section}</PropertySection>"));
        assert_eq!(read(&document).expect("read").get("search_domain"), Some("<>&'\"AB"));
    }

    #[test]
    fn entities_and_document_types_are_refused() {
        let section = property("hostname", "&long;");
        let inside = format!("<PropertySection>{section}</PropertySection>");
        assert_eq!(read(&environment(&inside)), Err(Unreadable::Entity));
        assert_eq!(read(&environment("&long;")), Err(Unreadable::Entity));
        let typed = environment("").replace("?>", "?><!DOCTYPE e [<!ENTITY long 'x'>]>");
        assert_eq!(read(&typed), Err(Unreadable::Entity));
    }

    #[test]
    fn large_deep_and_broken_documents_are_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        assert_eq!(read(&environment(&deep)), Err(Unreadable::TooDeep));
        assert_eq!(read(&" ".repeat(MOST_BYTES + 1)), Err(Unreadable::TooLarge));
        let whole = environment("");
        for document in
            ["", "no XML", "<Environment/>", &whole[..whole.len() - 9], &whole.repeat(2)]
        {
            assert!(read(document).is_err(), "{document}");
        }
        let twice = property("dns", "192.0.2.1").repeat(2);
        let document = environment(&format!("<PropertySection>{twice}</PropertySection>"));
        assert_eq!(read(&document), Err(Unreadable::Twice("dns".to_owned())));
    }
}
