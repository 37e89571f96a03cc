// Comfort for the form; every page is complete without it.
"use strict";

(function () {
  var form = document.querySelector("form.settings");
  if (form) {
    showWhatApplies(form);
    keepBrowserOut(form);
    addRevealing(form);
  }

  // A row with data-shown-when="name=value,value name=value" is shown while all of these hold. A
  // row that is not shown is sent all the same, so nothing typed is lost.
  function showWhatApplies(form) {
    var rows = form.querySelectorAll("[data-shown-when]");

    function holds(condition) {
      var at = condition.indexOf("=");
      var control = form.elements[condition.slice(0, at)];
      return condition.slice(at + 1).split(",").indexOf(control.value) >= 0;
    }

    function update() {
      Array.prototype.forEach.call(rows, function (row) {
        row.hidden = !row.getAttribute("data-shown-when").split(" ").every(holds);
      });
    }

    form.addEventListener("change", update);
    // Going back, a browser restores choices after this script has run.
    window.addEventListener("pageshow", update);
    update();
  }

  // A field marked data-typed takes only what a person types or pastes. What the browser fills in,
  // such as the login of the router, is taken out again; and should it come back, the value that
  // the page came with is sent in its place. For a secret that is the empty one: it stays as it is
  // stored.
  function keepBrowserOut(form) {
    var fields = form.querySelectorAll("[data-typed]");

    Array.prototype.forEach.call(fields, function (field) {
      ["input", "change"].forEach(function (event) {
        field.addEventListener(event, function () {
          if (isFilledIn(field)) {
            field.value = field.defaultValue;
          }
        });
      });
    });

    form.addEventListener("formdata", function (event) {
      Array.prototype.forEach.call(fields, function (field) {
        if (isFilledIn(field)) {
          event.formData.set(field.name, field.defaultValue);
        }
      });
    });
  }

  // Whether the browser has filled in the field, and nobody has changed it since.
  function isFilledIn(field) {
    return [":autofill", ":-webkit-autofill"].some(function (selector) {
      try {
        return field.matches(selector);
      } catch (unknown) {
        return false;
      }
    });
  }

  // Buttons that show what is typed into a secret field.
  function addRevealing(form) {
    Array.prototype.forEach.call(form.querySelectorAll("[data-reveals]"), function (button) {
      var field = document.getElementById(button.getAttribute("data-reveals"));
      button.hidden = false;
      button.addEventListener("click", function () {
        var shown = field.type === "password";
        field.type = shown ? "text" : "password";
        button.setAttribute("aria-pressed", shown ? "true" : "false");
      });
    });
    // Before the form is sent they are secret again, lest the browser remembers the text.
    form.addEventListener("submit", function () {
      Array.prototype.forEach.call(form.querySelectorAll("[data-reveals]"), function (button) {
        document.getElementById(button.getAttribute("data-reveals")).type = "password";
        button.setAttribute("aria-pressed", "false");
      });
    });
  }
})();
