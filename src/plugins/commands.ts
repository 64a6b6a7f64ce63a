import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, ICommandPalette, Notification } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { copyIcon, deleteIcon, refreshIcon } from '@jupyterlab/ui-components';

import {
  ARTIFACT_ARGS,
  ENDPOINT_ARGS,
  ENVIRONMENT_ARGS,
  NO_ARGS,
  artifactOf,
  endpointOf,
  environmentOf
} from '../commands/args';
import { CommandIDs, IKaleServeModel } from '../tokens';

export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'kale-serve-lab:commands',
  description: 'What can be done with endpoints and artifacts wherever they are shown.',
  autoStart: true,
  requires: [IKaleServeModel],
  optional: [ITranslator, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    model: IKaleServeModel,
    translator: ITranslator | null,
    palette: ICommandPalette | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('kale_serve_lab');
    const { commands } = app;

    commands.addCommand(CommandIDs.copyUrl, {
      label: trans.__('Copy URL'),
      caption: trans.__('Copy the address that programs on this machine call'),
      icon: copyIcon,
      describedBy: ENDPOINT_ARGS,
      execute: args => {
        const key = endpointOf(args);
        const service = key && model.service(key);
        if (service) {
          Clipboard.copyToSystem(service.url);
          Notification.info(trans.__('Copied %1', service.url), { autoClose: 2_000 });
        }
      }
    });

    commands.addCommand(CommandIDs.deleteEndpoint, {
      label: trans.__('Remove Endpoint…'),
      caption: trans.__('Stop and remove an endpoint'),
      icon: deleteIcon,
      describedBy: ENDPOINT_ARGS,
      execute: async args => {
        const key = endpointOf(args);
        if (!key) {
          return;
        }
        const service = model.service(key);
        const question = {
          title: trans.__('Remove endpoint %1?', key.name),
          body: service?.model
            ? trans.__(
                'Its servers stop, its address no longer answers, and its logs are removed. The model %1 stays.',
                [service.model.name, service.model.version].filter(Boolean).join(' ')
              )
            : trans.__('Its servers stop, its address no longer answers, and its logs are removed.'),
          button: trans.__('Remove')
        };
        const { confirmRemoval, orNotify } = await import('../commands/ask');
        if (await confirmRemoval(question, trans)) {
          await orNotify(() => model.deleteService(key));
        }
      }
    });

    commands.addCommand(CommandIDs.deleteArtifact, {
      label: trans.__('Delete…'),
      caption: trans.__('Delete an artifact and its files'),
      icon: deleteIcon,
      describedBy: ARTIFACT_ARGS,
      execute: async args => {
        const artifact = artifactOf(args);
        if (!artifact) {
          return;
        }
        const question = {
          title: trans.__('Delete %1?', artifact.label),
          body: trans.__(
            'Its record and its files are removed for good. Other versions stay. It cannot be deleted while an endpoint serves it.'
          ),
          button: trans.__('Delete')
        };
        const { confirmRemoval, orNotify } = await import('../commands/ask');
        if (await confirmRemoval(question, trans)) {
          await orNotify(() => model.deleteArtifact(artifact.id));
        }
      }
    });

    commands.addCommand(CommandIDs.deleteEnvironment, {
      label: trans.__('Remove Environment…'),
      caption: trans.__('Remove an environment that was made for a model server'),
      icon: deleteIcon,
      describedBy: ENVIRONMENT_ARGS,
      execute: async args => {
        const environment = environmentOf(args);
        if (!environment) {
          return;
        }
        const question = {
          title: trans.__('Remove the environment %1?', environment.label),
          body: trans.__(
            'Its packages are removed from the disk. Serving something that needs it makes it again, which takes a while.'
          ),
          button: trans.__('Remove')
        };
        const { confirmRemoval, orNotify } = await import('../commands/ask');
        if (await confirmRemoval(question, trans)) {
          await orNotify(() => model.environments.remove(environment.name));
        }
      }
    });

    commands.addCommand(CommandIDs.refresh, {
      label: trans.__('Refresh Endpoints and Models'),
      caption: trans.__('Ask the server again for everything that Kale Serve shows'),
      icon: refreshIcon,
      describedBy: NO_ARGS,
      execute: () => model.refresh()
    });

    palette?.addItem({ command: CommandIDs.refresh, category: trans.__('Kale Serve') });
  }
};
