// Stands in for webcomponents.js 0.7: custom elements and HTML imports, as far as the trace viewer
// in torch-tb-profiler needs them. Written for the tests; no part of the original.
(() => {
  "use strict";
  const prototypes = new Map();
  const upgraded = new WeakSet();
  const attached = new WeakSet();

  const upgrade = (element) => {
    const prototype = prototypes.get(element.getAttribute("is") ?? element.localName);
    if (!prototype || upgraded.has(element)) return;
    upgraded.add(element);
    Object.setPrototypeOf(element, prototype);
    element.createdCallback?.();
    if (element.isConnected) attach(element);
  };
  const attach = (element) => {
    if (!upgraded.has(element) || attached.has(element)) return;
    attached.add(element);
    element.attachedCallback?.();
  };
  const detach = (element) => {
    if (!attached.has(element)) return;
    attached.delete(element);
    element.detachedCallback?.();
  };
  const visitAll = (root, visit) => {
    if (root.nodeType === Node.ELEMENT_NODE) visit(root);
    for (const element of root.querySelectorAll?.("*") ?? []) visit(element);
  };
  const restyle = (element) => { // replaces outdated selectors by current ones
    if (element.localName !== "style" || !element.textContent.includes("::content")) return;
    const { textContent } = element;
    element.textContent = textContent.replaceAll(/::content\s*>?\s*([\w#.*-]+)/g, "::slotted($1)");
  };
  const watcher = new MutationObserver((changes) => {
    for (const { addedNodes, removedNodes } of changes) {
      for (const node of removedNodes) if (!node.isConnected) visitAll(node, detach);
      for (const node of addedNodes) {
        visitAll(node, upgrade);
        if (node.isConnected) visitAll(node, attach);
      }
    }
  });
  const watch = (root) => watcher.observe(root, { childList: true, subtree: true });
  watch(document);

  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (name, type) {
    const element = create.call(this, name === "content" ? "slot" : name); // its current name
    if (typeof type === "string") element.setAttribute("is", type);
    upgrade(element);
    return element;
  };
  for (const [owner, method] of [[Document, "importNode"], [Node, "cloneNode"]]) {
    const copy = owner.prototype[method];
    owner.prototype[method] = function (...args) {
      const made = copy.apply(this, args);
      // The content of a template is upgraded only when it is imported.
      if (made.ownerDocument === document) visitAll(made, upgrade);
      return made;
    };
  }
  for (const method of ["setAttribute", "removeAttribute"]) {
    const change = Element.prototype[method];
    Element.prototype[method] = function (name, value) {
      const before = this.getAttribute(name);
      change.call(this, name, value);
      if (upgraded.has(this)) this.attributeChangedCallback?.(name, before, this.getAttribute(name));
    };
  }
  Element.prototype.createShadowRoot = function () {
    if (!this.localName.includes("-")) return this; // browsers now allow few other elements
    const root = this.attachShadow({ mode: "open" });
    root.appendChild = (node) => {
      visitAll(node, restyle);
      return Node.prototype.appendChild.call(root, node);
    };
    watch(root);
    return root;
  };
  document.registerElement = (name, { prototype, extends: base } = {}) => {
    prototypes.set(name, prototype ?? Object.create(HTMLElement.prototype));
    for (const element of document.querySelectorAll(`${name}, [is="${name}"]`)) upgrade(element);
    const make = function () {
      return base ? document.createElement(base, name) : document.createElement(name);
    };
    make.prototype = prototypes.get(name);
    return make;
  };

  window.wrap = window.unwrap = (node) => node;
  Object.defineProperty(document, "_currentScript", { get: () => document.currentScript });

  document.addEventListener("DOMContentLoaded", async () => {
    // What `::content track-view-container > *` said can no longer be said from within.
    const style = document.head.appendChild(document.createElement("style"));
    style.textContent = "track-view-container > * { flex: 1 1 auto; min-width: 0; }";
    const room = document.body.appendChild(document.createElement("div"));
    room.hidden = true;
    for (const link of document.querySelectorAll("link[rel=import]")) {
      const text = await (await fetch(link.href)).text();
      const imported = new DOMParser().parseFromString(text, "text/html");
      for (const node of [...imported.head.childNodes, ...imported.body.childNodes]) {
        room.append(document.importNode(node, true));
      }
      for (const inert of room.querySelectorAll("script")) {
        const script = create.call(document, "script");
        script.textContent = inert.textContent;
        inert.replaceWith(script);
      }
    }
    document.dispatchEvent(new CustomEvent("WebComponentsReady", { bubbles: true }));
  });
})();
